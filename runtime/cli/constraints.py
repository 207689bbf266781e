"""What an answer has to be: --json-schema, --regex, --grammar and --choices."""

from __future__ import annotations

import argparse
from typing import Any

from halfbyte.cli import options
from halfbyte.cli.parser import Parser
from halfbyte.cli.source_files import read_text
from halfbyte.errors import RequestError

_NAMES = ("json_schema", "regex", "grammar", "choices")


def add(parser: Parser) -> None:
    """Declare the options; what they say is read and checked before anything is loaded."""
    group = parser.add_argument_group("what the answer has to be")
    group.add_argument(
        "--json-schema", metavar="FILE", help="JSON that meets this schema (docs/constraints.md)"
    )
    group.add_argument(
        "--json-whitespace", action="store_true", help="with spaces and line ends where it likes"
    )
    group.add_argument("--regex", type=options.text_of, help="what this regular expression matches")
    group.add_argument("--grammar", metavar="FILE", help="what this grammar, Lark or GBNF, makes")
    group.add_argument(
        "--choices", action="append", type=options.text_of, metavar="TEXT",
        help="one of several texts: repeat it for each",
    )  # fmt: skip

    def check(args: argparse.Namespace) -> None:
        given = [name for name in _NAMES if getattr(args, name) is not None]
        if len(given) > 1:
            first, second = (_flag(name) for name in given[:2])
            parser.error(f"argument {second}: not allowed with argument {first}")
        if args.json_whitespace and args.json_schema is None:
            parser.error("argument --json-whitespace: expected a --json-schema beside it")
        for name in ("json_schema", "grammar"):
            if getattr(args, name) is not None:
                setattr(args, name, read_text(getattr(args, name), _flag(name)))
        if given:
            _check(parser, args)

    parser.checks.append(check)


def of(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of a call that were given, by name."""
    given = {name: value for name in _NAMES if (value := getattr(args, name)) is not None}
    return given | ({"json_whitespace": True} if args.json_whitespace else {})


def _check(parser: Parser, args: argparse.Namespace) -> None:
    from halfbyte.constraints.constraint import Constraint

    try:
        Constraint.split(of(args))
    except RequestError as error:
        parser.error(f"argument {_flag(error.param)}: {str(error).partition(': ')[2]}")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
