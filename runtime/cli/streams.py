"""The three standard streams, whatever became of them: closed, full, in another encoding.

stdout carries the answer, so a failure there is an error of the command (`is_of_stdout`). stderr
carries what accompanies it, so a failure there is none: nothing is left to tell it to, and the
answer still comes. What comes from a file or a model reaches a terminal with escapes for whatever
would steer it; on a pipe an answer stays as it is.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import IO

from halfbyte.errors import RequestError
from halfbyte.printable import printable

_CRLF = re.compile("\r\n")
# Opened the wrong way round, so that using one that was closed fails as it would have.
_STAND_INS = {"stdin": (os.O_WRONLY, "r"), "stdout": (os.O_RDONLY, "w"), "stderr": (os.O_RDWR, "w")}

_is_quiet = False


def prepare() -> None:
    """Put something in the place of closed streams, and read and write UTF-8 whatever the locale.

    A closed stream's number would go to the next file that is opened, and messages of libraries
    with it. Lines go out as the model wrote them.
    """
    for name, (flags, mode) in _STAND_INS.items():
        if getattr(sys, name) is None:
            number = os.open(os.devnull, flags)  # the lowest that is free
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace", newline="")
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")


@contextlib.contextmanager
def quiet(is_quiet: bool) -> Iterator[None]:
    """Leave out notes while it is entered, if `is_quiet`."""
    global _is_quiet
    _is_quiet, before = is_quiet, _is_quiet
    try:
        yield
    finally:
        _is_quiet = before


def say(text: str) -> None:
    """A line on stderr."""
    draw(printable(_CRLF.sub("\n", text)) + "\n")


def note(text: str) -> None:
    """A line on stderr that -q leaves out."""
    if not _is_quiet:
        say(text)


def draw(text: str) -> None:
    """Exactly this text on stderr, what moves the cursor included."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        discard(sys.stderr)


def is_drawn_on() -> bool:
    """Whether stderr is a terminal on which something may be drawn."""
    return not _is_quiet and sys.stderr.isatty()


def for_stdout(text: str) -> str:
    """An answer's text as stdout should get it."""
    if not sys.stdout.isatty():
        return text
    return "\r\n".join(map(printable, text.split("\r\n")))


def read_stdin(param: str) -> bytes:
    """All of stdin.

    Raises:
        RequestError: it cannot be read; `param` is what it was wanted for.
    """
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        said = f"stdin ({error.strerror or error})"
        raise RequestError(param, expected="a stdin that can be read", got=said) from error


def is_of_stdout(error: OSError) -> bool:
    """Whether it is stdout that failed so: then it fails once more.

    What it did not take may be in its buffer still, or lost, as a long text that goes past the
    buffer: so a line end follows, which a stdout that has room again gets.
    """
    if error.filename is not None:
        return False
    try:
        sys.stdout.flush()
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as again:
        return again.errno == error.errno
    return False


def discard(stream: IO[str]) -> None:
    """Keep the interpreter from failing once more when it flushes the stream at its end."""
    with contextlib.suppress(OSError, ValueError):  # a stream that is no file, as in a test
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def are_one() -> bool:
    """Whether stdout and stderr end in the same place, such as one log."""
    try:
        return os.path.samestat(os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno()))
    except (OSError, ValueError):
        return False
