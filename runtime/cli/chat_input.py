"""What a user types into a conversation: messages of one line or many, and commands."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

from halfbyte.cli import streams
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass

FENCE = '"""'
_PROMPT, _MORE = "> ", "| "

ReadLine = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Typed:
    """One message, or one command, which is a line that begins with a slash."""

    text: str
    is_command: bool = False


def line_reader() -> ReadLine:
    """A function that shows a prompt and returns a line.

    On a terminal lines can be edited, and the arrow keys bring earlier ones back, where Python has
    readline. That draws on stdout, so with stdout elsewhere the terminal's own editing has to do.
    """
    if not sys.stdout.isatty():
        return _read_plain
    with contextlib.suppress(ImportError):  # Windows
        import readline  # noqa: F401  # importing it is what changes input()
    return input


def read(read_line: ReadLine) -> Typed:
    """The next message: one line, lines joined by a backslash at their ends, or a fenced block.

    Raises:
        EOFError: nothing more will come.
        KeyboardInterrupt: Ctrl-C; what was typed of the message is lost.
        RequestError: the line is not valid UTF-8.
    """
    try:
        return _read(read_line)
    except UnicodeDecodeError as error:
        raise RequestError(
            "message", expected="valid UTF-8", got=f"byte 0x{error.object[error.start]:02x}"
        ) from error


def _read(read_line: ReadLine) -> Typed:
    line = read_line(_PROMPT)
    lines: list[str] = []
    if line.strip() == FENCE:
        while (line := read_line(_MORE)).strip() != FENCE:
            lines.append(line)
        return Typed("\n".join(lines))
    is_command = line.startswith("/") and not line.endswith("\\") and "\n" not in line
    while line.endswith("\\"):
        lines.append(line[:-1])
        line = read_line(_MORE)
    return Typed("\n".join([*lines, line]), is_command)


def _read_plain(prompt: str) -> str:
    streams.draw(prompt)
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    return line.removesuffix("\n")
