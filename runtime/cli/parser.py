"""A command line's parser: argparse with the nearest name in its errors, and checks of our own."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NoReturn

from halfbyte.cli import streams
from halfbyte.printable import bounded

Check = Callable[[argparse.Namespace], None]
_MAX_ERROR = 600


class _Formatter(argparse.HelpFormatter):
    """Help whose usage leaves rare options out."""

    rare: Collection[argparse.Action] = ()

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        """As HelpFormatter.add_usage."""
        super().add_usage(usage, [a for a in actions if a not in self.rare], groups, prefix)


class Parser(argparse.ArgumentParser):
    """One command's parser.

    `checks` run once all is parsed, and before anything is loaded: each may end the command by
    `error`, as argparse does. Options of the groups in `rare` are not part of the usage.
    """

    def __init__(self, prog: str, description: str) -> None:
        self.rare: list[argparse._ArgumentGroup] = []  # first: argparse formats help at once
        super().__init__(
            prog=prog, description=description, allow_abbrev=False, formatter_class=_Formatter
        )
        self.checks: list[Check] = []
        self._is_json = False

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """The arguments, checked.

        Raises:
            SystemExit: help was asked for (0), or the command line is wrong (2).
        """
        options, _, _ = " ".join(argv).partition(" -- ")
        self._is_json = "--json" in options.split() and "--json" in self._option_string_actions
        args, unknown = self.parse_known_args(argv)
        if unknown:
            self.error(self._about(unknown))
        for check in self.checks:
            check(args)
        return args

    def error(self, message: str) -> NoReturn:
        """End with the usage, what is wrong, and 2."""
        message = bounded(message, _MAX_ERROR)
        if self._is_json:
            from halfbyte.cli import report

            report.print_json({"error": {"type": "UsageError", "message": message}})
        self.print_usage(sys.stderr)
        streams.say(f"{self.prog}: error: {message}")
        raise SystemExit(2)

    def _get_formatter(self) -> argparse.HelpFormatter:
        made = super()._get_formatter()
        if isinstance(made, _Formatter):
            made.rare = [action for group in self.rare for action in group._group_actions]
        return made

    def _print_message(self, message: str, file: Any = None) -> None:
        if file is sys.stdout:
            sys.stdout.write(message)
        elif message:
            streams.draw(message)

    def _about(self, unknown: list[str]) -> str:
        options = [arg for arg in unknown if arg.startswith("-") and arg != "--"]
        if options:
            name = options[0].partition("=")[0]
            return f"no option {name}{did_you_mean(name, self._option_string_actions)}"
        left = " ".join(unknown)
        return f"too many arguments: {left}; put a text with spaces in quotes"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean --stop?`, or nothing where no name is near."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(near)}?" if near else ""
