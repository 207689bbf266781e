"""The command `halfbyte`.

One file per command, each with `add(parser)`, which declares its options, and a handler `run`
that imports what it needs; only the file of the command that is given is imported, so that an
answer comes at once. What options mean together is looked at by the parser's `checks`, before
anything is loaded. stdout carries what was asked for (the model's text, a table, JSON) and nothing
else; stderr the progress, the log and the statistics.

Exit codes: 0; 1 with `error: ...` on stderr, also where stdout cannot be written; 2 for a wrong
command line; 130 when interrupted. With --json an error is an object on stdout too. A reader that
closes the pipe ends the command quietly; a stderr that is closed or full changes nothing.
Tracebacks are shown only with --debug.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from halfbyte.cli import progress, streams
from halfbyte.cli.parser import Parser, did_you_mean
from halfbyte.errors import HalfbyteError

_COMMANDS = {
    "complete": "continue a text",
    "infill": "write what belongs between two texts",
    "edit": "propose the next edit near a place in a file, as a diff",
    "chat": "talk with a model",
    "convert": "make a .gguf file from a Hugging Face folder or another .gguf file",
    "list": "show which models are in the cache",
    "pull": "fetch models into the cache",
    "rm": "remove models or compiled kernels from the cache",
    "inspect": "show what is in a .gguf file",
    "verify": "check a .gguf file against what it records",
    "compare": "measure how far two versions of a model differ",
    "perplexity": "measure how well a model predicts a text",
    "score": "say how likely continuations of a text are",
    "tokenize": "show the tokens of a text",
    "serve": "serve models over HTTP, for editors and programs",
    "doctor": "show what halfbyte found on this machine",
    "warmup": "compile the kernels that a model needs",
    "bench": "measure prefill and decode speed",
}


_HELP = ("-h", "--help", "help")
_VERSION = ("-V", "--version")


def main(argv: Sequence[str] | None = None, begin: Callable[[], object] = lambda: None) -> int:
    """Run one command; returns the exit code.

    Args:
        argv: the arguments without the program's name; None takes those of the process.
        begin: called when the command begins: a KeyboardInterrupt is caught from there on.
    """
    args = None
    try:
        streams.prepare()
        args = _parse(sys.argv[1:] if argv is None else argv)
        with streams.quiet(args.quiet), progress.logging_to_stderr(_log_level(args)):
            begin()
            args.run(args)
            sys.stdout.flush()
    except SystemExit as stop:  # help was shown, or the usage
        return _flushed(stop.code if isinstance(stop.code, int) else 2)
    except BrokenPipeError:
        streams.discard(sys.stdout)
    except KeyboardInterrupt:
        streams.say("interrupted")
        return 130
    except Exception as error:
        if args is not None and args.debug:
            raise
        return _failed(error, is_json=getattr(args, "json", False))
    return 0


def _flushed(code: int) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        streams.discard(sys.stdout)
    except OSError as error:
        return _failed(error, is_json=False)
    return code


def _failed(error: Exception, *, is_json: bool) -> int:
    """Say what is wrong; the exit code."""
    if isinstance(error, OSError) and streams.is_of_stdout(error):
        streams.discard(sys.stdout)
        streams.say(f"error: stdout: {error.strerror or error}")
        return 1
    text = _describe(error)
    streams.say(f"error: {text}")
    if is_json:
        from halfbyte.cli import report

        try:
            report.print_json({"error": report.error_fields(error, text)})
            sys.stdout.flush()
        except OSError:
            streams.discard(sys.stdout)
    return 1


def _describe(error: Exception) -> str:
    if isinstance(error, HalfbyteError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory"
    # Not one that halfbyte raises on purpose: say what it is, and how to see more.
    return f"unexpected {type(error).__name__}: {error}; --debug shows where"


def _log_level(args: argparse.Namespace) -> int:
    if args.verbose or args.debug:
        return progress.INFO
    return progress.ERROR if args.quiet else progress.WARNING


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of the command that is given.

    Raises:
        SystemExit: as Parser.parse.
    """
    name, rest = (argv[0], argv[1:]) if argv else ("help", ())
    if name in _VERSION:
        from halfbyte import __version__  # which is looked up among all installed packages

        print(f"halfbyte {__version__}")
        raise SystemExit(0)
    if name in _HELP and rest and not rest[0].startswith("-"):
        name, rest = rest[0], ("--help",)
    if name in _COMMANDS:
        return _command(name).parse(rest)
    top = _top()
    if name in _HELP:
        top.print_help(sys.stdout)
        raise SystemExit(0)
    known = [*_COMMANDS, *_HELP, *_VERSION]
    what = "option" if name.startswith("-") else "command"
    top.error(f"no {what} {name}{did_you_mean(name, known)}; `halfbyte help` lists all")


def _top() -> Parser:
    """What shows the help on all commands."""
    description = "Run Code Llama and its relatives, quantized to 4 or 8 bits, on this CPU."
    top = Parser("halfbyte", description)
    top.epilog = "`halfbyte COMMAND --help` shows the options of a command."
    top.add_argument("-V", "--version", action="store_true", help="show the version and exit")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Listed)
    for name, what in _COMMANDS.items():
        commands.add_parser(name, help=what)
    return top


class _Listed(argparse.ArgumentParser):
    """A command in the list of commands."""


def _command(name: str) -> Parser:
    """The parser of one command."""
    what = _COMMANDS[name]
    parser = Parser(f"halfbyte {name}", f"{what[0].upper()}{what[1:]}.")
    module = import_module(f"halfbyte.cli.{name}")
    parser.set_defaults(run=module.run)
    module.add(parser)
    group = parser.add_argument_group("messages")
    group.add_argument("-q", "--quiet", action="store_true", help="only the answer, and errors")
    group.add_argument("-v", "--verbose", action="store_true", help="log what is done")
    group.add_argument("--debug", action="store_true", help="the same, and show tracebacks")
    return parser
