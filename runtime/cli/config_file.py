"""A command's options in a file: TOML, each key a long option without its dashes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from halfbyte.cli.parser import Parser, did_you_mean


def add_config(parser: Parser) -> None:
    """--config: a file for whatever the command line does not say.

    Options that have no default of None cannot be told from ones that were given: `parser` has
    none.
    """
    parser.add_argument(
        "--config", metavar="FILE",
        help="options in a file (TOML: port = 8012); the command line's come first",
    )  # fmt: skip

    def check(args: argparse.Namespace) -> None:
        if args.config is None:
            return
        known = {flag: action for action in parser._actions for flag in action.option_strings}
        told = parser.parse_known_args(list(_arguments(parser, args.config, known)))[0]
        for name, value in vars(told).items():
            if getattr(args, name) in (None, False):
                setattr(args, name, value)

    parser.checks.append(check)


def _arguments(parser: Parser, path: str, known: Mapping[str, argparse.Action]) -> Iterator[str]:
    """The file as a command line would say it."""
    for key, value in _read(parser, path).items():
        flag = f"--{key.replace('_', '-')}"
        action = known.get(flag)
        if action is None or flag in ("--config", "--help"):
            parser.error(f"{path}: no option {key}{did_you_mean(flag, known)}")
        named = value.items() if isinstance(value, Mapping) else ()  # [model] NAME = "..."
        values = value if isinstance(value, list) else [value]
        if named:
            for name, one in named:
                if not isinstance(one, str):
                    hint = "; a name with a dot wants quotes" if isinstance(one, Mapping) else ""
                    parser.error(f"{path}: {key}.{name}: expected a text, got {one!r}{hint}")
            values = [f"{name}={one}" for name, one in named]
        if action.nargs == 0:
            if not isinstance(value, bool):
                parser.error(f"{path}: {key}: expected true or false, got {value!r}")
            if value:
                yield flag
            continue
        for one in values:
            if isinstance(one, bool) or not isinstance(one, (str, int, float)):
                parser.error(f"{path}: {key}: expected a text or a number, got {one!r}")
            yield f"{flag}={one}"


def _read(parser: Parser, path: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError:
            parser.error("--config: Python 3.10 needs `pip install tomli`")
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        parser.error(f"--config {path}: {error.strerror or error}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        parser.error(f"--config {path}: expected TOML: {error}")
