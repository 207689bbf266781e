"""Programs for the terminal: they complete, run their own tools and change files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import halfbyte
from tests.clients.conftest import SAY
from tests.clients.reciting import ANSWER

Run = Callable[..., str]
ASKED = "Say hello."


def has_said(tmp_path: Path) -> bool:
    """Whether an agent has run the command that its model called for."""
    return (tmp_path / "work" / "said").read_text() == "hello\n"


def test_claude_code(run: Run, url: str, tmp_path: Path) -> None:
    said = run(
        "claude", "-p", ASKED, "--allowedTools", "Bash", "--output-format", "json",
        ANTHROPIC_BASE_URL=url, ANTHROPIC_API_KEY="none", ANTHROPIC_MODEL="claude",
        ANTHROPIC_DEFAULT_HAIKU_MODEL="claude", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )  # fmt: skip
    result = json.loads(said)
    assert (result["result"], result["is_error"], result["num_turns"]) == (ANSWER, False, 2)
    assert has_said(tmp_path)
    assert result["usage"]["cache_read_input_tokens"] > 5000  # the first turn's prompt


def test_codex(run: Run, url: str, tmp_path: Path) -> None:
    home = tmp_path / ".codex"
    home.mkdir()
    (home / "config.toml").write_text(
        'model = "codex"\nmodel_provider = "halfbyte"\nweb_search = "disabled"\n'
        f'[model_providers.halfbyte]\nname = "halfbyte"\nbase_url = "{url}/v1"\n'
        'wire_api = "responses"\n'
    )
    flags = ("--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--json")
    events = [json.loads(line) for line in run("codex", "exec", *flags, ASKED).splitlines()]
    assert events[-1]["type"] == "turn.completed"
    assert events[-2]["item"]["text"] == ANSWER
    assert has_said(tmp_path)


def test_opencode(run: Run, url: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    provider = {
        "npm": "@ai-sdk/openai-compatible", "name": "halfbyte", "options": {"baseURL": f"{url}/v1"},
        "models": {"opencode": {"limit": {"context": 65536, "output": 4096}}},
    }  # fmt: skip
    (work / "opencode.json").write_text(json.dumps({"provider": {"halfbyte": provider}}))
    assert ANSWER in run("opencode", "run", "-m", "halfbyte/opencode", ASKED)
    assert has_said(tmp_path)


@pytest.mark.parametrize(("provider", "path"), [("openai", "/v1"), ("ollama", "")])
def test_continues_command_line(
    run: Run, url: str, tmp_path: Path, provider: str, path: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        "name: halfbyte\nversion: 0.0.1\nschema: v1\nmodels:\n"
        f"  - {{name: halfbyte, provider: {provider}, model: cn, apiBase: {url}{path}, "
        "apiKey: none, roles: [chat, edit, apply], capabilities: [tool_use]}\n"
    )
    said = run("cn", "-p", "--config", str(config), "--auto", ASKED, CONTINUE_TELEMETRY_ENABLED="0")
    assert said.strip() == ANSWER
    assert has_said(tmp_path)


def test_aider(run: Run, url: str, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    subprocess.run(["git", "init", "-q", str(work)], check=True)
    (work / "hello.py").write_text("print(1)\n")
    run(
        "aider", "--model", "openai/aider", "--edit-format", "whole", "--yes-always",
        "--no-auto-commits", "--no-check-update", "--analytics-disable", "--no-show-model-warnings",
        "--message", ASKED, "hello.py",
        OPENAI_API_BASE=f"{url}/v1", OPENAI_API_KEY="none", LITELLM_LOCAL_MODEL_COST_MAP="True",
    )  # fmt: skip
    assert (work / "hello.py").read_text() == "print('hello')\n"


def test_llm(run: Run, url: str, tmp_path: Path, infills: halfbyte.Model) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- {{model_id: chat, model_name: cn, api_base: {url}/v1, supports_tools: true}}\n"
        f"- {{model_id: text, model_name: infill-10m, api_base: {url}/v1, completion: true}}\n"
    )
    where = {"LLM_USER_PATH": str(tmp_path), "OPENAI_API_KEY": "none"}
    expected = infills.complete("def mean(", max_tokens=12).text
    options = ("-o", "max_tokens", "12", "-o", "temperature", "0")
    assert run("llm", "-m", "text", "def mean(", *options, **where).strip() == expected.strip()
    for how in ((), ("--no-stream",)):
        assert run("llm", "-m", "chat", ASKED, *how, **where).strip() == ANSWER
    tool = 'def Bash(command: str) -> str:\n    "Runs."\n    open("ran", "w").write(command)\n'
    assert run("llm", "-m", "chat", ASKED, "--functions", tool, **where).strip() == ANSWER
    assert (tmp_path / "work" / "ran").read_text() == SAY
