"""The command `halfbyte`.

One file per command, each with `add(parser)`, which declares its options, and a handler `run`
that imports what it needs; only the file of the command that is given is imported, so that an
answer comes at once. Where options exclude each other, a `check` of the arguments ends the command
as argparse ends it. stdout carries what was asked for (the model's text, a table, JSON) and nothing
else; stderr the progress, the log and the statistics.

Exit codes: 0; 1 with `error: ...` on stderr; 2 for a wrong command line; 130 when interrupted.
A reader that closes the pipe ends the command quietly. Tracebacks are shown only with --debug.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from halfbyte import __version__
from halfbyte.cli import progress
from halfbyte.errors import HalfbyteError

_COMMANDS = {
    "complete": "continue a text",
    "infill": "write what belongs between two texts",
    "chat": "talk with a model",
    "convert": "make a .gguf file from a Hugging Face folder or another .gguf file",
    "pull": "fetch a model into the cache",
    "inspect": "show what is in a .gguf file",
    "verify": "check a .gguf file against what it records",
    "compare": "measure how far two versions of a model differ",
    "perplexity": "measure how well a model predicts a text",
    "tokenize": "show the tokens of a text",
    "doctor": "show what halfbyte found on this machine",
    "warmup": "compile the kernels that a model needs",
    "bench": "measure prefill and decode speed",
}


def main(argv: Sequence[str] | None = None, begin: Callable[[], object] = lambda: None) -> int:
    """Run one command; returns the exit code.

    Args:
        argv: the arguments without the program's name; None takes those of the process.
        begin: called when the command begins: a KeyboardInterrupt is caught from there on.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        args = _parser(argv).parse_args(argv)
        if "check" in args:
            args.check(args)
    except SystemExit as stop:
        # argparse has said why on stderr, or shown the help.
        return stop.code if isinstance(stop.code, int) else 2
    if "run" not in args:
        _parser(argv).print_help(sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        # Model text is UTF-8 whatever the locale; newlines go out as the model wrote them.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace", newline="")
    with progress.logging_to_stderr(verbose=args.verbose or args.debug):
        return _run(args, begin)


def _run(args: argparse.Namespace, begin: Callable[[], object]) -> int:
    try:
        begin()
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


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of the whole command line, with the options of the commands in `argv`."""
    parser = argparse.ArgumentParser(
        prog="halfbyte",
        description="Run Code Llama and its relatives, quantized to 4 or 8 bits, on this CPU.",
        epilog="`halfbyte COMMAND --help` shows the options of a command.",
        allow_abbrev=False,
    )
    version = f"halfbyte {__version__}"
    parser.add_argument(
        "--version", action="version", version=version, help="show the version and exit"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, what in _COMMANDS.items():
        command = commands.add_parser(name, help=what, allow_abbrev=False)
        if name not in argv:
            continue
        module = import_module(f"halfbyte.cli.{name}")
        command.set_defaults(run=module.run)
        module.add(command)
        group = command.add_argument_group("messages")
        group.add_argument("-v", "--verbose", action="store_true", help="log what is done")
        group.add_argument("--debug", action="store_true", help="the same, and show tracebacks")
    return parser
