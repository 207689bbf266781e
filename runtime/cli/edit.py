"""`halfbyte edit`: propose the next edit near a place in a file, as a diff."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from halfbyte.cli import options, output
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.cli.source_files import add_repo_files, position, read_text, repo_files
from halfbyte.models import DEFAULT_INFILL_MODEL
from halfbyte.prompt.positions import offset_at

if TYPE_CHECKING:
    from halfbyte.generation.edit import Edit

_FORMATS = ("sweep", "zeta-2", "zeta-2.1", "fim")
_WINDOW = 2048  # tokens; a 7B model reads 50 a second on two cores
_NO_END = "\\ No newline at end of file\n"


def add(parser: Parser) -> None:
    """Declare the options."""
    options.add_model(parser, default=DEFAULT_INFILL_MODEL)
    parser.add_argument("file", metavar="FILE", help="the file to edit, which stays as it is")
    parser.add_argument(
        "--at", type=position, required=True, metavar="LINE:COL",
        help="the cursor: line and column from 1, the column in characters",
    )  # fmt: skip
    add_repo_files(parser, parser)
    parser.add_argument(
        "--format", choices=_FORMATS,
        help="what the model was trained on (default: as its names say, else fim, an insertion)",
    )  # fmt: skip
    parser.add_argument(
        "--window",
        type=options.positive,
        metavar="TOKENS",
        help="show the model at most so much (default: what the format was trained with)",
    )
    options.add_sampling(parser, ends_itself=True)
    options.add_engine(parser)
    options.add_prompt_cache(parser)
    options.add_adapter(parser)
    options.add_draft(parser)
    options.add_json(parser)


def run(args: argparse.Namespace) -> None:
    """The edit as a diff on stdout, then one line of statistics on stderr."""
    text = read_text(args.file, "FILE", may_be_stdin=False)
    cursor = offset_at(text, *args.at, param="--at", name=args.file)
    related, sampling = repo_files(args), options.sampling_of(args)
    with options.load_model(args) as model:
        done = model.edit(
            args.file, text, cursor, related=related, format=args.format, window=args.window,
            progress=BAR, **sampling,
        )  # fmt: skip
        if args.json:
            names = ("start", "end", "jump", "format", "is_empty", "answer", "left_out")
            output.print_json(model, done, **{name: getattr(done, name) for name in names})
        else:
            output.write(diff_of(args.file, done))
        nothing = ["no edit"] if done.is_empty else []
        output.print_stats(model, done, f"format {done.format}", *nothing)


def diff_of(name: str, done: Edit) -> Iterator[str]:
    """The lines of an edit as a unified diff, which `patch -p1` takes; none of an empty one."""
    name = name.lstrip("/")
    old, new = _lines(done.original), _lines(done.full_text)
    for line in difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"):
        yield line if line.endswith("\n") else f"{line}\n{_NO_END}"


def _lines(text: str) -> list[str]:
    """The lines with their ends, of which patch knows LF alone."""
    *lines, last = text.split("\n")
    return [*(f"{line}\n" for line in lines), *([last] if last else [])]
