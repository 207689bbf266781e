"""What README and docs show is true: their programs and commands run, and what they name exists."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from halfbyte.cli import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = (ROOT / "docs" / "commands.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    """The README's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def shell_commands() -> list[tuple[list[str], str]]:
    """Words and output of each `$ halfbyte` command; quotes may span lines."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            n = next(n for n in range(1, len(lines) + 1) if "".join(lines[:n]).count("'") % 2 == 0)
            words = shlex.split("".join(lines[:n]), comments=True)
            if words[0] == "halfbyte":
                found.append((words[1:], "".join(lines[n:])))
    return found


def test_it_is_short() -> None:
    assert README.count("\n") <= 200


def test_its_first_screen_shows_the_page() -> None:
    first = "\n".join(README.splitlines()[:40])
    found = re.search(r"`halfbyte serve .*!\[[^\]]+\]\((docs/[\w.]+png)\)", first, re.DOTALL)
    assert found is not None
    picture = (ROOT / found[1]).read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n" and len(picture) <= 120_000


def test_the_python_example_runs(tiny_gguf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, *_ = blocks("python")
    namespace: dict[str, object] = {}
    exec(code.replace("smollm2-135m", str(tiny_gguf)), namespace)
    assert namespace["done"].finish_reason in capsys.readouterr().out
    assert len(namespace["two"]) == 2
    assert namespace["logits"].shape[1] == 300


def test_the_example_with_the_names_of_transformers_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, _, code, _ = blocks("python")
    namespace: dict[str, object] = {}
    exec(code.replace("smollm2-135m", "infill-10m"), namespace)
    n_prompt = namespace["inputs"]["input_ids"].shape[1]
    assert namespace["outputs"].shape == (1, n_prompt + 7)
    printed = capsys.readouterr().out
    assert printed.startswith("def gcd(a, b):\n    while b") and "\ndef is_odd(n):\n" in printed


def test_the_example_of_many_callers_runs(capsys: pytest.CaptureFixture[str]) -> None:
    _, code, *_ = blocks("python")
    namespace: dict[str, object] = {}
    exec(code, namespace)
    namespace["model"].close()
    done, printed = namespace["done"], capsys.readouterr().out
    assert f"{done.text} True -" in printed and set(json.loads(done.text)) == {"ok"}


def test_the_infilling_example_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    *_, code = blocks("python")
    exec(code, {})
    printed, said = capsys.readouterr().out, re.findall(r"\(done\.text.*  # (.*?):", code)
    assert said == printed.splitlines()[:1] == ["lib import Path spm"]
    assert "from pathlib import Path\n\nroot = " in printed


def test_the_shell_commands_run(
    tiny_folder: Path, tiny_gguf: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"path/to/CodeLlama-7b-hf": str(tiny_folder), "smollm2-135m": str(tiny_gguf)}
    commands = shell_commands()
    assert [words[0] for words, _ in commands] == [
        "complete", "infill", "chat", "convert", "inspect", "complete",
    ]  # fmt: skip
    printed = ""
    for words, output in commands:
        argv = [names.get(w, str(tmp_path / w) if w.endswith(".gguf") else w) for w in words]
        if words[0] == "chat":  # what the small model's file says nothing about
            argv += ["--format", "llama-2", "-n", "4"]
        assert main(argv) == 0
        shown = capsys.readouterr().out
        printed += shown
        if "infill-10m" in words:
            assert shown.rstrip("\n") == output.rstrip("\n") != ""
    assert "tokenizer.ggml.tokens" in printed


def test_every_command_that_exists_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    listed = re.findall(r"^    (\w+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", COMMANDS, re.MULTILINE)
    named = [name for row in table for name in re.findall(r"`(\w+)`", row) if name.islower()]
    assert sorted(named) == sorted(listed)


def test_the_environment_variables_are_the_ones_that_are_read() -> None:
    from halfbyte import settings

    named = set(re.findall(r"^\| `(HALFBYTE_\w+)`", COMMANDS, re.MULTILINE))
    assert named == {settings.CACHE_VARIABLE, settings.THREADS_VARIABLE, settings.ISA_VARIABLE}


def test_links_lead_somewhere() -> None:
    links = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)]+)\)", re.sub("`[^`\n]+`", "", page.read_text("utf-8")))
        if not link.startswith("https://")
    }
    missing = {link.relative_to(ROOT).as_posix() for link in links if not link.exists()}
    assert missing == set()
    assert {ROOT / "docs" / page.name for page in PAGES[1:]} <= links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_folders_that_it_names_exist(page: Path) -> None:
    named = re.findall(
        r"`((?:runtime|kernels|convert|tests|benchmarks|examples|\.ci)/[\w/.]*)`",
        page.read_text("utf-8"),
    )
    assert [name for name in named if not (ROOT / name).exists()] == []
