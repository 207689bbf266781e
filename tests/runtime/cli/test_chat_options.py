"""halfbyte chat with tools and thoughts, and --syntax of complete and infill."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from halfbyte.cli import chat
from halfbyte.cli.chat_input import Typed
from halfbyte.cli.chat_session import Session
from halfbyte.generation.chat_completion import ToolCall

TOOLS = [{"type": "function", "function": {"name": "now"}}]


def test_what_is_given_is_passed_on(run: Any, model: Any, tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_text(json.dumps(TOOLS))
    argv = ["chat", "hi", "--tools", str(path), "--tool-choice", "now", "--no-thinking"]
    assert run(*argv, "--reasoning-budget", "5").code == 0
    assert model.params == {
        "tools": TOOLS, "tool_choice": "now", "thinking": False, "reasoning_budget": 5,
    }  # fmt: skip
    run("chat", "hi", "--thinking")
    assert model.params == {"thinking": True}


def test_calls_are_lines_of_json(run: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = type(model.stream_chat([], progress=None, format="auto"))
    result = stream.result

    def with_calls(self: Any) -> Any:
        done = result(self)
        done.tool_calls = (ToolCall("abc", "now", {"ü": 1}),) * 2
        return done

    monkeypatch.setattr(stream, "result", with_calls)
    line = '{"id": "abc", "name": "now", "arguments": {"ü": 1}}\n'
    assert run("chat", "hi").out == " ab\né" + 2 * line
    found = json.loads(run("chat", "hi", "--json").out)
    assert found["tool_calls"] == [json.loads(line)] * 2
    assert (found["reasoning"], found["cut_call"]) == ("", "")


def test_what_does_not_go_together(
    run: Any, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("chat", "hi", "--tool-choice", "now").code == 2
    assert run("chat", "hi", "--reasoning-budget", "-1").code == 2
    path = tmp_path / "tools.json"
    path.write_text("[")
    outcome = run("chat", "hi", "--tools", str(path))
    assert outcome.code == 1 and outcome.err.startswith("error: --tools: expected a file of JSON")
    assert run("chat", "hi", "--tools", str(tmp_path / "none")).code == 1
    monkeypatch.setattr(chat, "_is_talk", lambda args: True)
    assert run("chat", "--tools", str(path)).code == 2


def test_syntax(run: Any, model: Any) -> None:
    run("complete", "x", "--syntax", "python")
    assert model.params == {"syntax": "python"}
    run("infill", "x<FILL_ME>", "--syntax", "python")
    assert model.params == {"syntax": "python"}
    assert run("complete", "x", "--syntax", "ruby").code == 2


def test_thoughts_are_told_once_and_stop_with_ctrl_c(
    run: Any, model: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    def pressed() -> str:
        signal.raise_signal(signal.SIGINT)
        return "<think>b"

    session = Session(model, [], shows_stats=False, format="auto")
    model.pieces = ["<think>a", "<think>b", "so"]
    session.take(Typed("q"))
    assert capfd.readouterr() == ("so\n", "(thinking)\n(cut after 3 tokens; -n sets how many)\n")
    assert session.messages[-1] == {"role": "assistant", "content": "so"}
    model.pieces = ["<think>a", pressed, "never"]
    session.take(Typed("q"))
    assert "the message was dropped" in capfd.readouterr().err and len(session.messages) == 2
