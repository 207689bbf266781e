"""halfbyte.cli: exit codes, errors, streams; what holds for every command."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
from typing import Any

import pytest

import halfbyte
from halfbyte.errors import HalfbyteError

COMMANDS = [
    *("complete", "infill", "chat", "convert", "pull", "inspect", "tokenize"),
    *("doctor", "warmup", "bench", "verify", "compare", "perplexity", "list", "rm", "serve"),
]


def test_help_names_every_command(run: Any) -> None:
    outcome = run("--help")
    assert outcome.code == 0
    listed = {line.split()[0] for line in outcome.out.splitlines() if line.startswith("    ")}
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command(run: Any, name: str) -> None:
    outcome = run(name, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith(f"usage: halfbyte {name}")
    assert "--debug" in outcome.out


def test_version(run: Any) -> None:
    outcome = run("--version")
    assert (outcome.code, outcome.out) == (0, f"halfbyte {halfbyte.__version__}\n")


@pytest.mark.parametrize(
    "argv",
    [
        ["nothing"],
        ["--nothing"],
        ["complete"],
        ["complete", "-p", "x", "-t", "0"],
        ["complete", "-p", "x", "--ctx", "many"],
        ["complete", "-p", "x", "--temp", "warm"],
        ["complete", "-p", "x", "--max-tok", "4"],
        ["bench", "-r", "0"],
        ["bench", "-p", "-1"],
    ],
)
def test_usage_is_2(run: Any, model: Any, argv: list[str]) -> None:
    outcome = run(*argv)
    assert (outcome.code, outcome.out) == (2, "")
    assert "usage: halfbyte" in outcome.err
    assert model.load_args == {}


def test_an_error_is_1_and_one_line(run: Any, no_model: None) -> None:
    outcome = run("complete", "-p", "x", "-m", "nope")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "error: model: expected a name, got nope\n"


def test_debug_shows_the_traceback(run: Any, no_model: None) -> None:
    with pytest.raises(HalfbyteError):
        run("complete", "-p", "x", "--debug")


def test_an_unexpected_error_is_1_without_a_traceback(run: Any, model: Any) -> None:
    model.pieces = ["a", ZeroDivisionError("oops")]
    outcome = run("complete", "-p", "x")
    assert (outcome.code, outcome.out) == (1, "a")
    assert outcome.err == "error: unexpected ZeroDivisionError: oops; --debug shows where\n"
    model.pieces = [MemoryError()]
    assert run("complete", "-p", "x").err == "error: not enough memory\n"


def test_interrupted_is_130(run: Any, model: Any) -> None:
    model.pieces = ["a", KeyboardInterrupt()]
    outcome = run("complete", "-p", "x")
    assert (outcome.code, outcome.out, outcome.err) == (130, "a", "interrupted\n")
    assert model.is_closed


def test_a_closed_pipe_is_quiet(run: Any, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    outcome = run("complete", "-p", "x")
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX pipe")
def test_a_closed_pipe_is_quiet_in_a_process() -> None:
    read, write = os.pipe()
    os.close(read)
    code = "import sys, halfbyte.cli as c; sys.exit(c.main(['pull']))"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_warnings_of_the_log_go_to_stderr(run: Any, model: Any) -> None:
    plain = model.stream

    def stream(prompt: str, **params: Any) -> Any:
        logging.getLogger("halfbyte.model").warning("take %s", "care")
        logging.getLogger("halfbyte.model").info("a detail")
        return plain(prompt, **params)

    model.stream = stream
    outcome = run("complete", "-p", "x")
    assert outcome.err.startswith("warning: take care\nprompt 4 tok")
    assert "a detail" in run("complete", "-p", "x", "-v").err
    assert logging.getLogger("halfbyte").handlers == []


def test_python_dash_m() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "halfbyte", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"halfbyte {halfbyte.__version__}\n")
