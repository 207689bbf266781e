"""Options of `halfbyte chat` about tools and thoughts, and what they mean."""

from __future__ import annotations

import argparse
import json
from typing import Any

from halfbyte.cli import options
from halfbyte.cli.parser import Parser
from halfbyte.cli.source_files import read_text
from halfbyte.errors import RequestError


def add(parser: Parser) -> None:
    """--tools, --tool-choice, --thinking, --reasoning-budget, --reasoning-effort."""
    group = parser.add_argument_group("tools and thoughts")
    group.add_argument(
        "--tools", metavar="FILE",
        help="functions that the answer may call, a JSON list; calls come out as JSON lines",
    )  # fmt: skip
    group.add_argument(
        "--tool-choice", metavar="CHOICE",
        help="auto, none, required or the name of the function to call (default: auto)",
    )  # fmt: skip
    group.add_argument(
        "--thinking", action=argparse.BooleanOptionalAction, default=None,
        help="whether the model thinks before it answers (default: as its template has it)",
    )  # fmt: skip
    group.add_argument(
        "--reasoning-budget", type=options.natural, metavar="N",
        help="most tokens of thoughts (default: no limit)",
    )  # fmt: skip
    group.add_argument(
        "--reasoning-effort", metavar="WORD",
        help="low, medium or high, where the template reads it, as gpt-oss' does",
    )  # fmt: skip

    def check(args: argparse.Namespace) -> None:
        if args.tool_choice is not None and args.tools is None:
            parser.error("--tool-choice is for --tools")

    parser.checks.append(check)


def asked(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of Model.chat that were given.

    Raises:
        RequestError: the file of tools is no JSON.
    """
    names = ("tool_choice", "thinking", "reasoning_budget", "reasoning_effort")
    given = {name: getattr(args, name) for name in names}
    how = {name: value for name, value in given.items() if value is not None}
    if args.tools is not None:
        try:
            how["tools"] = json.loads(read_text(args.tools, "--tools"))
        except (ValueError, RecursionError) as error:
            if isinstance(error, RequestError):
                raise
            raise RequestError("--tools", expected="a file of JSON", got=str(error)) from error
    return how
