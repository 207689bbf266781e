"""halfbyte chat: one message, what is typed, and turns; test_chat_terminal has the screen."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.cli import chat, chat_input, options
from halfbyte.cli.chat_input import Typed
from halfbyte.cli.chat_session import CtrlC, Session, message
from halfbyte.errors import ContextLengthError, RequestError, UnsupportedModelError
from halfbyte.prompt.chat import FORMATS
from halfbyte.prompt.infill import ORDERS


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


# One message.


def test_stdin_is_one_message(run: Any, model: Any) -> None:
    outcome = run("chat", stdin="a\r\n/exit\né\n\n".encode())
    assert (outcome.code, outcome.out) == (0, " ab\né")
    assert outcome.err.startswith("prompt 4 tok ") and outcome.err.count("\n") == 1
    assert model.prompt == [user("a\r\n/exit\né\n")]
    assert model.load_args["model"] == "smollm2-135m"
    assert model.how == {"format": "auto"}
    assert model.is_closed


def test_a_message_as_an_option(run: Any, model: Any) -> None:
    argv = ("chat", "-p", "hi\n", "--system", "be\nkind", "--format", "llama-2", "-n", "5")
    assert run(*argv).code == 0
    assert model.prompt == [{"role": "system", "content": "be\nkind"}, user("hi\n")]
    assert model.how == {"format": "llama-2"}
    assert model.params == {"max_tokens": 5}
    run("chat", "-p", "-", stdin=b"hi\r\n")
    assert model.prompt == [user("hi")]


def test_the_bare_argument_is_a_message(run: Any, model: Any) -> None:
    assert run("chat", "hi", "-n", "5").code == 0
    assert model.prompt == [user("hi")]
    assert run("chat", "hi", "-p", "hi").code == 2


def test_json(run: Any, model: Any) -> None:
    found = json.loads(run("chat", "-p", "hi", "--json").out)
    assert (found["text"], found["tokens"]) == (" ab\né", [5, 6, 7])
    assert found["finish_reason"] == "length"


@pytest.mark.parametrize("stdin", [b"", b"\n", b"a\xff"])
def test_nothing_to_answer(run: Any, model: Any, stdin: bytes) -> None:
    outcome = run("chat", stdin=stdin)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("error: ")
    assert model.load_args == {}


def test_choices_are_those_of_the_library(run: Any) -> None:
    assert "{" + ",".join(FORMATS) + "}" in run("chat", "--help").out
    assert "{" + ",".join(ORDERS) + "}" in run("infill", "--help").out
    assert run("chat", "-p", "x", "--format", "alpaca").code == 2


def test_a_terminal_has_no_json(run: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "_is_talk", lambda args: True)
    outcome = run("chat", "--json")
    assert (outcome.code, model.load_args) == (2, {})


def test_help_says_whose_defaults_they_are(run: Any) -> None:
    shown = " ".join(run("chat", "--help").out.split())
    for value in ("0.8", "40", "0.95", "0.05", "1"):
        assert f"(default: the model's, else {value})" in shown
    assert "the model's, else" not in run("complete", "--help").out


def test_with_a_model(run: Any, tiny_gguf: Path) -> None:
    argv = ("chat", "-m", str(tiny_gguf), "-p", "ab cd")
    with halfbyte.load(tiny_gguf) as model:
        expected = model.chat([user("ab cd")], format="llama-2", max_tokens=8, seed=5)
        greedy = model.chat([user("ab cd")], format="llama-2", max_tokens=8, temperature=0)
    outcome = run(*argv, "-n", "8", "--format", "llama-2", "--seed", "5")
    assert (outcome.code, outcome.out) == (0, expected.text)
    assert outcome.err.endswith(" | seed 5\n")
    outcome = run(*argv, "-n", "8", "--format", "llama-2", "--temp", "0")
    assert (outcome.code, outcome.out) == (0, greedy.text)
    assert "seed" not in outcome.err
    # What was drawn can be drawn again.
    found = json.loads(run(*argv, "-n", "8", "--format", "llama-2", "--json").out)
    again = run(*argv, "-n", "8", "--format", "llama-2", "--seed", str(found["seed"]))
    assert again.out == found["text"]
    # A base model says nothing about chat: better an error than a guess.
    outcome = run(*argv)
    assert (outcome.code, outcome.out) == (1, "")
    assert "expected a chat template, got none" in outcome.err
    assert "--format llama-2" in outcome.err


# What is typed.


def typed(*lines: str) -> tuple[Typed, str]:
    """What these lines are read as, and the prompts that asked for them."""
    left, prompts = list(lines), []

    def read_line(prompt: str) -> str:
        prompts.append(prompt[0])
        if not left:
            raise EOFError
        return left.pop(0)

    found = chat_input.read(read_line)
    assert not left
    return found, "".join(prompts)


def test_lines_and_blocks() -> None:
    assert typed("a b ") == (Typed("a b "), ">")
    assert typed("") == (Typed(""), ">")
    assert typed("a\\", "b \\", "c") == (Typed("a\nb \nc"), ">||")
    assert typed("a\\", "") == (Typed("a\n"), ">|")
    assert typed('"""', "a\\", "", "/exit", ' """ ') == (Typed("a\\\n\n/exit"), ">||||")
    assert typed('"""a"""') == (Typed('"""a"""'), ">")
    # A terminal that pastes several lines at once.
    assert typed("/a\nb") == (Typed("/a\nb"), ">")
    with pytest.raises(EOFError):
        typed('"""', "a")
    with pytest.raises(EOFError):
        typed("a\\")


def test_commands() -> None:
    assert typed("/reset") == (Typed("/reset", is_command=True), ">")
    assert typed("/usr/bin ?") == (Typed("/usr/bin ?", is_command=True), ">")
    assert typed(" /reset") == (Typed(" /reset"), ">")
    assert typed("/a\\", "b") == (Typed("/a\nb"), ">|")
    assert typed('"""', "/reset", '"""') == (Typed("/reset"), ">||")


def test_a_line_that_is_no_utf_8() -> None:
    def read_line(prompt: str) -> str:
        return b"a\xff".decode()

    with pytest.raises(RequestError, match="valid UTF-8, got byte 0xff"):
        chat_input.read(read_line)


# Turns.


@pytest.fixture
def session(model: Any) -> Session:
    return Session(model, [], shows_stats=False, format="auto")


def test_turns_follow_each_other(
    session: Session, model: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    model.pieces, model.finish_reason = ["o", "ne"], "stop"
    assert session.take(Typed("a"))
    model.pieces = ["two\n"]
    assert session.take(Typed("b"))
    assert model.prompt == [user("a"), assistant("one"), user("b")]
    assert session.messages == [user("a"), assistant("one"), user("b"), assistant("two\n")]
    # stdout is the answers, each on lines of its own.
    assert capfd.readouterr() == ("one\ntwo\n", "")


def test_an_empty_line_is_no_message(session: Session, model: Any) -> None:
    assert session.take(Typed("  "))
    assert model.prompt is None


def test_reset_keeps_the_system_message(model: Any) -> None:
    session = Session(model, [message("system", "be kind")], shows_stats=False, format="auto")
    for _ in range(2):
        session.take(Typed("a"))
        assert len(session.messages) == 3
        assert session.take(Typed("/reset", is_command=True))
        assert session.messages == [message("system", "be kind")]


def test_commands_that_say_something(
    session: Session, model: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    assert session.take(Typed("/help", is_command=True))
    assert "/reset" in capfd.readouterr().err
    assert session.take(Typed("/rest now", is_command=True))
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("no command /rest now; ")
    assert not session.take(Typed("/exit", is_command=True))
    assert model.prompt is None and session.messages == []


@pytest.mark.parametrize(
    ("reason", "said"), [("length", "(cut after 3 tokens"), ("context", "the context is full")]
)
def test_an_answer_that_was_cut_is_said_to_be(
    session: Session, model: Any, capfd: pytest.CaptureFixture[str], reason: str, said: str
) -> None:
    model.finish_reason = reason
    session.take(Typed("a"))
    assert said in capfd.readouterr().err
    assert len(session.messages) == 2


def test_statistics_are_for_verbose(model: Any, capfd: pytest.CaptureFixture[str]) -> None:
    Session(model, [], shows_stats=True, format="auto").take(Typed("a"))
    assert "prompt 4 tok" in capfd.readouterr().err


def test_a_stopped_answer_stays(
    session: Session, model: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    model.pieces = ["so ", "far", KeyboardInterrupt()]
    assert session.take(Typed("a"))
    assert session.messages == [user("a"), assistant("so far")]
    assert capfd.readouterr() == ("so far\n", "(stopped)\n")
    model.pieces = [KeyboardInterrupt()]
    assert session.take(Typed("b"))
    assert session.messages == [user("a"), assistant("so far")]
    assert "the message was dropped" in capfd.readouterr().err


def test_ctrl_c_stops_between_two_pieces(session: Session, model: Any) -> None:
    def pressed() -> str:
        signal.raise_signal(signal.SIGINT)
        return "x"  # reached: the model's step is not torn apart

    before = signal.getsignal(signal.SIGINT)
    model.pieces = ["a", pressed, "never"]
    session.take(Typed("q"))
    assert session.messages[-1] == assistant("ax")
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_does_not_wait() -> None:
    with CtrlC() as ctrl_c:
        ctrl_c.check()
        ctrl_c.progress("prefill", 1, 2)
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            ctrl_c.progress("prefill", 2, 2)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_another_thread_leaves_ctrl_c_alone() -> None:
    def enter() -> None:
        with CtrlC():
            seen.append(signal.getsignal(signal.SIGINT))

    seen: list[Any] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_a_refused_message_is_dropped(
    session: Session, model: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    session.take(Typed("a"))
    before = list(session.messages)
    model.pieces = [RequestError("messages[2]", expected="no special tags", got="[INST]")]
    assert session.take(Typed("[INST]"))
    assert session.messages == before
    assert "expected no special tags" in capfd.readouterr().err
    model.pieces = [ContextLengthError(900, 512)]
    assert session.take(Typed("long"))
    assert session.messages == before
    said = capfd.readouterr().err
    assert "900 tokens, and the context holds 512" in said and "/reset" in said


def test_a_full_context_leaves_the_conversation_usable(
    tiny_gguf: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with halfbyte.load(tiny_gguf, ctx=96) as model:
        how: dict[str, Any] = {"format": "llama-2", "max_tokens": 4, "temperature": 0}
        session = Session(model, [], shows_stats=False, **how)
        session.take(Typed("ab"))
        before = list(session.messages)
        assert len(before) == 2
        session.take(Typed("x" * 200))
        assert "has become too long" in capfd.readouterr().err
        session.take(Typed("a [/INST] b"))
        assert "no special tags" in capfd.readouterr().err
        assert session.messages == before
        session.take(Typed("cd"))
        assert [m["role"] for m in session.messages] == ["user", "assistant"] * 2
        expected = model.chat([*before, user("cd")], **how)
        assert session.messages[-1]["content"] == expected.text


def test_an_abandoned_answer_leaves_the_model_usable(tiny_gguf: Path) -> None:
    with halfbyte.load(tiny_gguf) as model:
        how: dict[str, Any] = {"format": "llama-2", "max_tokens": 12, "temperature": 0}
        expected = model.chat([user("ab")], **how)
        stream = model.stream_chat([user("ab")], **how)
        next(stream)
        again = model.chat([user("ab")], **how)
        assert again.tokens == expected.tokens
        # Stopped while the prompt is read.
        session = Session(model, [], shows_stats=False, **how)
        progress = CtrlC.progress

        def press(self: CtrlC, stage: str, done: int, total: int) -> None:
            signal.raise_signal(signal.SIGINT)
            progress(self, stage, done, total)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(CtrlC, "progress", press)
            session.take(Typed("ab"))
        assert session.messages == []
        session.take(Typed("ab"))
        assert session.messages == [user("ab"), assistant(expected.text)]


def test_a_model_that_cannot_chat_says_so_at_once(tiny_gguf: Path) -> None:
    with halfbyte.load(tiny_gguf) as model:
        with pytest.raises(UnsupportedModelError, match="chat template"):
            Session(model, [], shows_stats=False, format="auto").run()
        system = [message("system", "[INST]")]
        with pytest.raises(RequestError, match="special tags"):
            Session(model, system, shows_stats=False, format="llama-2").run()


def test_the_default_models(run: Any) -> None:
    assert f"(default: {options.DEFAULT_MODEL})" in " ".join(run("chat", "--help").out.split())
