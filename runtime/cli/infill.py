"""`halfbyte infill`: write what belongs between two texts, or at a place in a file."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from halfbyte.cli import constraints, options, output
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.cli.source_files import add_repo_files, position, read_text, repo_files
from halfbyte.models import DEFAULT_INFILL_MODEL
from halfbyte.prompt.positions import offset_at

if TYPE_CHECKING:
    from halfbyte.prompt.infill import Repository

# A few hundred lines. A 7B model reads 50 tokens a second on two cores.
_WINDOW = 2048


def add(parser: Parser) -> None:
    """Declare the options."""
    options.add_model(parser, default=DEFAULT_INFILL_MODEL)
    _add_source(parser)
    options.add_order(parser)
    options.add_heal(parser)
    options.add_syntax(parser)
    _add_repository(parser)
    _add_limits(parser)
    _add_ends(parser)
    options.add_sampling(parser, has_cursor=True)
    constraints.add(parser)
    options.add_engine(parser)
    options.add_prompt_cache(parser)
    options.add_adapter(parser)
    options.add_draft(parser)
    parser.add_argument(
        "--full", action="store_true", help="print the text around it too, with its place filled"
    )
    options.add_json(parser)
    parser.checks.append(partial(_check, parser))


def run(args: argparse.Namespace) -> None:
    """Stream the middle to stdout, then one line of statistics to stderr."""
    prefix, suffix = _around(args)
    repository, sampling = _repository(args), options.sampling_of(args) | constraints.of(args)
    how = {
        "order": args.order or "auto", "heal": args.heal, "repository": repository,
        "window": args.window, "force": args.force, **_ends(args),
    }  # fmt: skip
    with options.load_model(args) as model:
        stream = model.stream_infill(prefix, suffix, progress=BAR, **how, **sampling)
        if not args.json:
            output.write(_between(prefix, stream, suffix) if args.full else stream)
        done = stream.result()
        if args.json:
            whole = {"full_text": done.full_text} if args.full else {}
            dropped: dict[str, object] = {
                "n_prefix_dropped": done.n_prefix_dropped,
                "n_suffix_dropped": done.n_suffix_dropped,
                "files_dropped": done.files_dropped,
                "trimmed": done.trimmed,
            }
            if args.min_confidence is not None:
                dropped["first_token_probability"] = done.first_token_probability
                dropped["mean_probability"] = done.mean_probability
            output.print_json(model, done, **whole, order=done.order, **dropped)
        output.print_stats(model, done, f"order {done.order}")


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
    at = offset_at(text, line, column, param="--at", name=name)
    return text[:at], text[at:]


def _add_source(parser: Parser) -> None:
    group = parser.add_argument_group("the text, in one of three ways; a FILE of - is stdin")
    what = "a text with <FILL_ME> in the place to fill"
    options.add_prompt(parser, group, required=False, what=what)
    group.add_argument("--prefix-file", metavar="FILE", help="the text before the place; or none")
    group.add_argument("--suffix-file", metavar="FILE", help="the text after it; or none")
    group.add_argument("--file", metavar="FILE", help="a text with the place that --at gives")
    group.add_argument(
        "--at", type=position, metavar="LINE:COL",
        help="line and column from 1, the column in characters; the last one is the line's end",
    )  # fmt: skip


def _add_repository(parser: Parser) -> None:
    group = parser.add_argument_group("other files that the model is shown")
    add_repo_files(group, parser)
    group.add_argument("--repo-name", default="", metavar="NAME", help="the project's name")


def _add_limits(parser: Parser) -> None:
    parser.add_argument(
        "--window", type=options.positive, default=_WINDOW, metavar="TOKENS",
        help="show the model at most so much of the text, the lines nearest the place "
        "(default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--force", action="store_true",
        help="infill with a model that is not known to have been trained to",
    )  # fmt: skip


def _add_ends(parser: Parser) -> None:
    parser.add_argument(
        "--single-line", action="store_true", help="end with the first line that is not blank"
    )
    parser.add_argument(
        "--min-confidence", type=_probability, metavar="P",
        help="write nothing where the first token is less likely than this, from 0 to 1",
    )  # fmt: skip
    parser.add_argument(
        "--no-trim", dest="trim_suffix", action="store_false",
        help="keep what the answer's end repeats of the text after it",
    )  # fmt: skip


def _ends(args: argparse.Namespace) -> dict[str, Any]:
    """What was asked of the middle's end."""
    asked: dict[str, Any] = options.syntax_of(args)
    if args.min_confidence is not None:
        asked["min_confidence"] = args.min_confidence
    if args.single_line:
        asked["single_line"] = True
    if not args.trim_suffix:
        asked["trim_suffix"] = False
    return asked


def _probability(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


def _check(parser: Parser, args: argparse.Namespace) -> None:
    """Let argparse complain where options do not go together."""
    around = (args.prefix_file, args.suffix_file)
    if args.prompt is None and args.file is None and around == (None, None):
        options.take_stdin(args)
    ways = (args.prompt is not None, any(f is not None for f in around), args.file is not None)
    if (args.file is None) != (args.at is None):
        parser.error("--file and --at go together")
    if sum(ways) != 1:
        parser.error(
            "give either a TEXT (as an argument, with -p or on stdin), or --prefix-file and "
            "--suffix-file, or --file and --at"
        )
    if around == ("-", "-"):
        parser.error("--prefix-file and --suffix-file cannot both be stdin")


def _around(args: argparse.Namespace) -> tuple[str, str]:
    """Prefix and suffix, from wherever they come."""
    if args.prompt is not None:
        from halfbyte.prompt.infill import split_marker

        return split_marker(options.prompt_of(args))
    if args.file is not None:
        line, column = args.at
        name = "stdin" if args.file == "-" else args.file
        return split_at(read_text(args.file, "--file"), line, column, name)
    flags = {"--prefix-file": args.prefix_file, "--suffix-file": args.suffix_file}
    prefix, suffix = ("" if f is None else read_text(f, flag) for flag, f in flags.items())
    return prefix, suffix


def _repository(args: argparse.Namespace) -> Repository | None:
    if not args.repo_file and not args.repo_name:
        return None
    from halfbyte.prompt.infill import Repository

    current = "" if args.file in (None, "-") else args.file
    return Repository(repo_files(args), current=current, name=args.repo_name)


def _between(prefix: str, middle: Iterable[str], suffix: str) -> Iterator[str]:
    """Everything; nothing of it before the middle has begun, since until then it may fail."""
    pieces = iter(middle)
    yield prefix + next(pieces, "")
    yield from pieces
    yield suffix
