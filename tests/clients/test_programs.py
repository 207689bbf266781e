"""Programs for the terminal: they complete, run their own tools and change files."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import halfbyte
from tests.clients.conftest import SAY
from tests.clients.recipes import exports, recipe
from tests.clients.reciting import ANSWER

pytestmark = pytest.mark.skipif(
    not os.environ.get("CLIENTS"), reason="`make test-clients` installs programs and names them"
)
Run = Callable[..., str]
CORE = Path(__file__).parent / "continue_core"
ASKED = "Say hello."


def has_said(tmp_path: Path) -> bool:
    """Whether an agent has run the command that its model called for."""
    return (tmp_path / "work" / "said").read_text() == "hello\n"


def test_claude_code(run: Run, url: str, tmp_path: Path) -> None:
    said = run(
        "claude", "-p", ASKED, "--allowedTools", "Bash", "--output-format", "json",
        **exports(recipe("Claude Code", url, "claude")),
    )  # fmt: skip
    result = json.loads(said)
    assert (result["result"], result["is_error"], result["num_turns"]) == (ANSWER, False, 2)
    assert has_said(tmp_path)
    assert result["usage"]["cache_read_input_tokens"] > 5000  # the first turn's prompt


def test_codex(run: Run, url: str, tmp_path: Path) -> None:
    home = tmp_path / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(recipe("Codex", url, "codex"))
    flags = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json")
    events = [json.loads(line) for line in run("codex", "exec", *flags, ASKED).splitlines()]
    assert events[-1]["type"] == "turn.completed"
    assert events[-2]["item"]["text"] == ANSWER
    assert has_said(tmp_path)


def test_opencode(run: Run, url: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "opencode.json").write_text(recipe("OpenCode", url, "opencode"))
    assert ANSWER in run("opencode", "run", ASKED)
    assert has_said(tmp_path)


@pytest.mark.parametrize(("provider", "path"), [("openai", "/v1"), ("ollama", "")])
def test_continues_command_line(
    run: Run, url: str, tmp_path: Path, provider: str, path: str
) -> None:
    config = tmp_path / "config.yaml"
    text = recipe("Continue", url, "cn").replace(
        f"provider: openai, model: cn, apiBase: {url}/v1",
        f"provider: {provider}, model: cn, apiBase: {url}{path}",
    )
    config.write_text(text)
    said = run("cn", "-p", "--config", str(config), "--auto", ASKED, CONTINUE_TELEMETRY_ENABLED="0")
    assert said.strip() == ANSWER
    assert has_said(tmp_path)


def test_continues_completion(run: Run, url: str, tmp_path: Path, infills: halfbyte.Model) -> None:
    """The code of its editors' plugins that fills gaps, as its core has it."""
    made = tmp_path / "fill.cjs"
    others = [f"--alias:{name}={CORE / 'nothing.js'}" for name in ("sqlite3", "sqlite", "jsdom")]
    run(
        "esbuild", str(CORE / "fill.mjs"), "--bundle", "--platform=node", f"--outfile={made}",
        f"--alias:vectordb={CORE / 'nothing.js'}", *others, "--external:*.node",
        "--log-level=error", NODE_PATH=os.environ["CLIENTS"].split("/.bin:")[0],
    )  # fmt: skip
    before, behind = "import nu", "\n\nx = np.zeros(3)\n"
    said = run("node", str(made), url, "infill-10m", before, behind)
    expected = infills.infill(before, behind, max_tokens=12, temperature=0).text
    assert json.loads(said) == expected


def test_aider(run: Run, url: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    subprocess.run(["git", "init", "-q", str(work)], check=True)
    (work / "hello.py").write_text("print(1)\n")
    script = recipe("Aider", url, "aider")
    run(
        *script.splitlines()[-1].split(), "--yes-always", "--no-auto-commits", "--no-check-update",
        "--analytics-disable", "--message", ASKED, "hello.py",
        LITELLM_LOCAL_MODEL_COST_MAP="True", **exports(script),
    )  # fmt: skip
    assert (work / "hello.py").read_text() == "print('hello')\n"


def test_llm(run: Run, url: str, tmp_path: Path, infills: halfbyte.Model) -> None:
    chat, text = recipe("llm", url, "cn").splitlines()
    text = text.replace("model_name: cn", "model_name: infill-10m")
    (tmp_path / "extra-openai-models.yaml").write_text(f"{chat}\n{text}\n")
    where = {"LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"}
    expected = infills.complete("def mean(", max_tokens=12).text
    options = ("-o", "max_tokens", "12", "-o", "temperature", "0")
    assert run("llm", "-m", "text", "def mean(", *options, **where).strip() == expected.strip()
    for how in ((), ("--no-stream",)):
        assert run("llm", "-m", "chat", ASKED, *how, **where).strip() == ANSWER
    tool = 'def Bash(command: str) -> str:\n    "Runs."\n    open("ran", "w").write(command)\n'
    assert run("llm", "-m", "chat", ASKED, "--functions", tool, **where).strip() == ANSWER
    assert (tmp_path / "work" / "ran").read_text() == SAY
