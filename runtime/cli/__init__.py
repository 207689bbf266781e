"""The command `halfbyte`.

One file per command, each with `add(commands)`, which declares its options, and a handler `run`
that imports what it needs, so that `--help` comes at once. Where options exclude each other, a
`check` of the arguments ends the command as argparse ends it. stdout carries what was asked for
(the model's text, a table, JSON) and nothing else; stderr the progress, the log and the statistics.

Exit codes: 0; 1 with `error: ...` on stderr; 2 for a wrong command line; 130 when interrupted.
A reader that closes the pipe ends the command quietly. Tracebacks are shown only with --debug.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from halfbyte.cli import (
    bench,
    chat,
    compare,
    complete,
    convert,
    doctor,
    infill,
    inspect,
    perplexity,
    progress,
    pull,
    tokenize,
    verify,
    warmup,
)
from halfbyte.errors import HalfbyteError

_COMMANDS = (
    complete,
    infill,
    chat,
    convert,
    pull,
    inspect,
    verify,
    compare,
    perplexity,
    tokenize,
    doctor,
    warmup,
    bench,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        argv: the arguments without the program's name; None takes those of the process.
    """
    try:
        args = _parser().parse_args(argv)
        if "check" in args:
            args.check(args)
    except SystemExit as stop:
        # argparse has said why on stderr, or shown the help.
        return stop.code if isinstance(stop.code, int) else 2
    if "run" not in args:
        if args.version:
            return _show_version()
        _parser().print_help(sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        # Model text is UTF-8 whatever the locale; newlines go out as the model wrote them.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace", newline="")
    with progress.logging_to_stderr(verbose=args.verbose or args.debug):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    try:
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
    except KeyboardInterrupt:
        progress.BAR.clear()
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        progress.BAR.clear()
        if args.debug:
            raise
        print(f"error: {_describe(error)}", file=sys.stderr)
        return 1
    return 0


def _describe(error: Exception) -> str:
    if isinstance(error, HalfbyteError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory"
    # Not one that halfbyte raises on purpose: say what it is, and how to see more.
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"


def _discard_stdout() -> None:
    """Keep the interpreter from failing once more when it flushes stdout at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):  # stdout is no real file, as in a test
        return


def _show_version() -> int:
    import halfbyte

    print(f"halfbyte {halfbyte.__version__}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="halfbyte",
        description="Run Code Llama and its relatives, quantized to 4 or 8 bits, on this CPU.",
        epilog="`halfbyte COMMAND --help` shows the options of a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in _COMMANDS:
        command = module.add(commands)
        command.allow_abbrev = False
        group = command.add_argument_group("messages")
        group.add_argument("-v", "--verbose", action="store_true", help="log what is done")
        group.add_argument("--debug", action="store_true", help="the same, and show tracebacks")
    return parser
