"""What the README shows is true: its Python runs, its commands and variables exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from halfbyte.cli import main

README = (Path(__file__).resolve().parent.parent / "README.md").read_text("utf-8")


def test_the_python_example_runs(tiny_gguf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict[str, object] = {}
    exec(code.replace("smollm2-135m", str(tiny_gguf)), namespace)
    assert namespace["done"].finish_reason in capsys.readouterr().out
    assert len(namespace["two"]) == 2
    assert namespace["logits"].shape[1] == 300


def test_the_infilling_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    _, code, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(code, {})
    assert "import numpy as np\n\nx = " in capsys.readouterr().out


def test_the_example_with_the_names_of_transformers_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, _, code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict[str, object] = {}
    exec(code, namespace)
    assert namespace["outputs"].shape == (1, 50)
    assert capsys.readouterr().out.count("def fibonacci(n):\n") == 2


def test_every_command_it_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    listed = re.findall(r"^    (\w+)(?: |$)", capsys.readouterr().out, re.MULTILINE)
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", README, re.MULTILINE)
    named = [name for row in table for name in re.findall(r"`(\w+)`", row) if name.islower()]
    assert sorted(named) == sorted(listed)


def test_the_shell_example_converts_and_completes(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.findall(r"^\$ halfbyte (.*)$", README, re.MULTILINE)
    assert [c.split()[0] for c in commands] == ["convert", "inspect", "complete"]
    for command in commands:
        words = [w.strip("'") for w in re.findall(r"'[^']*'|\S+", command)]
        paths = {"path/to/CodeLlama-7b-hf": str(tiny_folder)}
        words = [paths.get(w, str(tmp_path / w) if w.endswith(".gguf") else w) for w in words]
        assert main(words) == 0
    assert "tokenizer.ggml.tokens" in capsys.readouterr().out


def test_the_environment_variables_are_the_ones_that_are_read() -> None:
    from halfbyte import settings

    named = set(re.findall(r"^\| `(HALFBYTE_\w+)`", README, re.MULTILINE))
    assert named == {settings.CACHE_VARIABLE, settings.THREADS_VARIABLE, settings.ISA_VARIABLE}
