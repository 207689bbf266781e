"""Files that a user is writing, and places in them."""

from __future__ import annotations

import argparse
from pathlib import Path

from halfbyte.cli import options, streams
from halfbyte.cli.parser import Parser
from halfbyte.errors import RequestError


def add_repo_files(group: argparse._ActionsContainer, parser: Parser) -> None:
    """--repo-file: other files that the model is shown."""
    group.add_argument(
        "--repo-file", action="append", default=[], metavar="FILE",
        help="a file of the same project; may be repeated, the nearest best come last",
    )  # fmt: skip

    def check(args: argparse.Namespace) -> None:
        if len(set(args.repo_file)) < len(args.repo_file):
            parser.error("the same --repo-file is given twice")

    parser.checks.append(check)


def repo_files(args: argparse.Namespace) -> dict[str, str]:
    """Names and texts of the files of --repo-file."""
    return {name: read_text(name, "--repo-file", may_be_stdin=False) for name in args.repo_file}


def read_text(name: str, flag: str, *, may_be_stdin: bool = True) -> str:
    """A file's text as it stands there: ends of lines and a byte order mark are kept."""
    try:
        is_stdin = may_be_stdin and name == "-"
        data = streams.read_stdin(flag) if is_stdin else Path(name).read_bytes()
    except OSError as error:
        raise RequestError(
            flag, expected="a file that can be read", got=f"{name}: {error.strerror}"
        ) from error
    return options.decode_utf8(data, f"{flag} {name}")


def position(text: str) -> tuple[int, int]:
    """LINE:COL, for argparse."""
    line, colon, column = text.partition(":")
    try:
        return options.positive(line), options.positive(column if colon else "")
    except argparse.ArgumentTypeError as error:
        expected = "LINE:COL, both from 1, such as 12:5"
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from error
