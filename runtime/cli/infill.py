"""`halfbyte infill`: write what belongs between two texts, or at a place in a file."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from halfbyte.cli import options, output
from halfbyte.cli.progress import BAR
from halfbyte.errors import RequestError
from halfbyte.models import DEFAULT_INFILL_MODEL

if TYPE_CHECKING:
    from halfbyte.prompt.infill import Repository

_LINE_END = re.compile(r"\r\n|\r|\n")
_BOM = "\ufeff"


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    options.add_model(parser, default=DEFAULT_INFILL_MODEL)
    _add_source(parser)
    options.add_order(parser)
    options.add_heal(parser)
    _add_repository(parser)
    options.add_sampling(parser)
    options.add_engine(parser)
    parser.add_argument(
        "--full", action="store_true", help="print the text around it too, with its place filled"
    )
    options.add_json(parser)
    parser.set_defaults(check=partial(_check, parser))


def run(args: argparse.Namespace) -> None:
    """Stream the middle to stdout, then one line of statistics to stderr."""
    prefix, suffix = _around(args)
    repository, sampling = _repository(args), options.sampling_of(args)
    how = {"order": args.order or "auto", "heal": args.heal, "repository": repository}
    with options.load_model(args) as model:
        stream = model.stream_infill(prefix, suffix, progress=BAR, **how, **sampling)
        if not args.json:
            output.write(_between(prefix, stream, suffix) if args.full else stream)
        done = stream.result()
        if args.json:
            whole = {"full_text": done.full_text} if args.full else {}
            output.print_json(model, done, **whole, order=done.order)
        output.print_stats(model, done, *output.cut(done), f"order {done.order}")


def split_at(text: str, line: int, column: int, name: str) -> tuple[str, str]:
    """What stands before and after a place in a text.

    Args:
        text: its lines end with LF, CRLF or CR.
        line: from 1; after an end of line at the end of the text there is one more, empty line.
        column: from 1, in characters, of which a tab is one; the last one is where the line ends.
            A byte order mark at the beginning of the text has no column.
        name: the file's, for the error.

    Raises:
        RequestError: the place lies outside the text.
    """
    ends = [(m.start(), m.end()) for m in _LINE_END.finditer(text)]
    begins = [int(text.startswith(_BOM)), *(after for _, after in ends)]
    if line > len(begins):
        raise RequestError(
            "--at", expected=f"a line of {name}, which has {_count(len(begins), 'line')}", got=line
        )
    begin = begins[line - 1]
    end = ends[line - 1][0] if line <= len(ends) else len(text)
    if column > end - begin + 1:
        raise RequestError(
            "--at",
            expected=f"a column from 1 to {end - begin + 1}, as line {line} of {name} has "
            f"{_count(end - begin, 'character')}",
            got=column,
        )
    at = begin + column - 1
    return text[:at], text[at:]


def _add_source(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("the text, in one of three ways; a FILE of - is stdin")
    options.add_prompt(group, required=False, what="a text with <FILL_ME> in the place to fill")
    group.add_argument("--prefix-file", metavar="FILE", help="the text before the place; or none")
    group.add_argument("--suffix-file", metavar="FILE", help="the text after it; or none")
    group.add_argument("--file", metavar="FILE", help="a text with the place that --at gives")
    group.add_argument(
        "--at", type=_position, metavar="LINE:COL",
        help="line and column from 1, the column in characters; the last one is the line's end",
    )  # fmt: skip


def _add_repository(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("other files that the model is shown")
    group.add_argument(
        "--repo-file", action="append", default=[], metavar="FILE",
        help="a file of the same project; may be repeated, the nearest best come last",
    )  # fmt: skip
    group.add_argument("--repo-name", default="", metavar="NAME", help="the project's name")


def _check(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Let argparse complain where options do not go together."""
    around = (args.prefix_file, args.suffix_file)
    ways = (args.prompt is not None, any(f is not None for f in around), args.file is not None)
    if (args.file is None) != (args.at is None):
        parser.error("--file and --at go together")
    if sum(ways) != 1:
        parser.error("give either -p, or --prefix-file and --suffix-file, or --file and --at")
    if around == ("-", "-"):
        parser.error("--prefix-file and --suffix-file cannot both be stdin")
    if len(set(args.repo_file)) < len(args.repo_file):
        parser.error("the same --repo-file is given twice")


def _around(args: argparse.Namespace) -> tuple[str, str]:
    """Prefix and suffix, from wherever they come."""
    if args.prompt is not None:
        from halfbyte.prompt.infill import split_marker

        return split_marker(options.prompt_of(args))
    if args.file is not None:
        line, column = args.at
        name = "stdin" if args.file == "-" else args.file
        return split_at(_read(args.file, "--file"), line, column, name)
    flags = {"--prefix-file": args.prefix_file, "--suffix-file": args.suffix_file}
    prefix, suffix = ("" if f is None else _read(f, flag) for flag, f in flags.items())
    return prefix, suffix


def _repository(args: argparse.Namespace) -> Repository | None:
    if not args.repo_file and not args.repo_name:
        return None
    from halfbyte.prompt.infill import Repository

    files = {name: _read(name, "--repo-file", may_be_stdin=False) for name in args.repo_file}
    current = "" if args.file in (None, "-") else args.file
    return Repository(files, current=current, name=args.repo_name)


def _read(name: str, flag: str, *, may_be_stdin: bool = True) -> str:
    """A file's text as it stands there: ends of lines and a byte order mark are kept."""
    try:
        is_stdin = may_be_stdin and name == "-"
        data = sys.stdin.buffer.read() if is_stdin else Path(name).read_bytes()
    except OSError as error:
        raise RequestError(
            flag, expected="a file that can be read", got=f"{name}: {error.strerror}"
        ) from error
    return options.decode_utf8(data, f"{flag} {name}")


def _between(prefix: str, middle: Iterable[str], suffix: str) -> Iterator[str]:
    """Everything; nothing of it before the middle has begun, since until then it may fail."""
    pieces = iter(middle)
    yield prefix + next(pieces, "")
    yield from pieces
    yield suffix


def _position(text: str) -> tuple[int, int]:
    line, colon, column = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"expected LINE:COL, such as 12:5, got {text!r}")
    return options.positive(line), options.positive(column)


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
