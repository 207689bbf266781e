"""Standard streams that are closed, full or a terminal."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from halfbyte.cli import output, streams

needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX shells and devices")
TITLE = "\x1b]0;owned\x07"


def shell(line: str, *, option: str = "-B") -> subprocess.CompletedProcess[str]:
    """The line, with `halfbyte` run by this very Python, with an option of Python's."""
    code = f'unset PYTHONUNBUFFERED; halfbyte() {{ "$0" {option} -m halfbyte "$@"; }}; {line}'
    return subprocess.run(["sh", "-c", code, sys.executable], capture_output=True, text=True)


NO_STDIN = "error: prompt: expected a stdin that can be read, got stdin (Bad file descriptor)\n"
COMPLETE = "halfbyte complete -m infill-10m -n 3 'import os'"


@pytest.fixture(scope="module")
def answer() -> str:
    whole = shell(f"{COMPLETE} -q")
    assert whole.returncode == 0 and whole.stdout and not whole.stderr
    return whole.stdout


@needs_posix
@pytest.mark.parametrize("redirection", ["2>/dev/full", "<&- 2>&-"])
def test_without_stderr_the_answer_still_comes(answer: str, redirection: str) -> None:
    done = shell(f"{COMPLETE} {redirection}")
    assert (done.returncode, done.stdout, done.stderr) == (0, answer, "")


@needs_posix
@pytest.mark.parametrize(
    ("line", "code", "err"),
    [
        ("halfbyte pull >&-", 1, "error: stdout: Bad file descriptor\n"),
        ("halfbyte inspect infill-10m >&-", 1, "error: stdout: Bad file descriptor\n"),
        ("halfbyte pull >/dev/full", 1, "error: stdout: No space left on device\n"),
        ("halfbyte inspect infill-10m --json >&-", 1, "error: stdout: Bad file descriptor\n"),
        ("halfbyte --help >/dev/full", 1, "error: stdout: No space left on device\n"),
        ("halfbyte pull >&- 2>&- <&-", 1, ""),
        ("halfbyte nothing 2>&-", 2, ""),
        ("halfbyte nothing 2>/dev/full", 2, ""),
        (f"{COMPLETE} >/dev/full", 1, "error: stdout: No space left on device\n"),
        ("halfbyte complete <&- 2>/dev/null", 2, ""),
        ("halfbyte chat <&-", 1, NO_STDIN),
    ],
)  # fmt: skip
def test_closed_and_full_streams(line: str, code: int, err: str) -> None:
    done = shell(line)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", err)


@needs_posix
def test_a_full_stdout_without_a_buffer() -> None:
    done = shell("halfbyte pull >/dev/full", option="-u")
    assert (done.returncode, done.stderr) == (1, "error: stdout: No space left on device\n")


@needs_posix
@pytest.mark.parametrize("option", ["-B", "-u"])
def test_an_error_as_json_to_a_full_stdout(option: str) -> None:
    done = shell("halfbyte inspect --json no.gguf >/dev/full", option=option)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no.gguf: ") and done.stderr.count("\n") == 1


@needs_posix
def test_in_one_log_the_statistics_have_a_line_of_their_own(answer: str) -> None:
    assert not answer.endswith("\n")
    assert shell(f"{COMPLETE} 2>&1").stdout.startswith(f"{answer}\nprompt ")


@needs_posix
def test_in_one_log_a_warning_waits_for_the_line_end() -> None:
    full = "halfbyte complete -m infill-10m -c 5 'import os'"
    alone, both = shell(f"{full} -q").stdout, shell(f"{full} 2>&1").stdout
    assert alone and not alone.endswith("\n")
    assert both.startswith(f"{alone}\nwarning: the context of 5 tokens is full")


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_an_answer_on_a_terminal_does_not_steer_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = ["a\tb\n", TITLE, "\u202e", "\r\n", "x\ry", "é\n"]
    safe = "a\tb\n\\x1b]0;owned\\x07\\u202e\r\nx\\ryé\n"
    for screen, expected in ((io.StringIO(), "".join(pieces)), (Screen(), safe)):
        monkeypatch.setattr(sys, "stdout", screen)
        output.write(pieces)
        assert screen.getvalue() == expected


def test_what_stderr_says_never_steers(run: Any, model: Any) -> None:
    model.pieces = [ZeroDivisionError(TITLE)]
    outcome = run("complete", "x")
    said = r"unexpected ZeroDivisionError: \x1b]0;owned\x07; --debug shows where"
    assert outcome.err == f"error: {said}\n"


def test_json_never_steers(run: Any, model: Any) -> None:
    model.pieces = [TITLE, "\x9b2J\u202e"]
    outcome = run("complete", "x", "--json")
    assert outcome.out.rstrip("\n").isprintable()
    assert json.loads(outcome.out)["text"] == TITLE + "\x9b2J\u202e"


def test_a_stderr_that_fails_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    streams.say("x")


@needs_posix
def test_chat_reads_utf_8_whatever_the_locale() -> None:
    code = "import sys; from halfbyte.cli import streams; streams.prepare(); print(input())"
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", code], input="é €\n".encode(), capture_output=True, env=environment
    )
    assert done.stdout == "é €\n".encode()


def test_quiet_is_left_again(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with streams.quiet(True):
        streams.note("a")
        streams.say("b")
    streams.note("c")
    assert capfd.readouterr().err == "b\nc\n"
