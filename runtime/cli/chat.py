"""`halfbyte chat`: talk with a model, or ask it one thing."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from halfbyte.cli import constraints, options, output
from halfbyte.cli.chat_session import Session, message
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.errors import RequestError
from halfbyte.generation.chat_defaults import USUAL


def add(parser: Parser) -> None:
    """Declare the options."""
    parser.description = "Talk at a terminal; from elsewhere, stdin is one message to answer."
    options.add_model(parser)
    options.add_prompt(parser, required=False, what="answer this one message")
    parser.add_argument(
        "--system", type=options.text_of, metavar="TEXT", help="a system message to begin with"
    )
    parser.add_argument(
        "--format", choices=("auto", "llama-2", "codellama-70b", "template"), default="auto",
        help="how messages are laid out (default: as the model's file asks)",
    )  # fmt: skip
    options.add_sampling(parser, USUAL)
    constraints.add(parser)
    options.add_engine(parser)
    options.add_prompt_cache(parser)
    options.add_json(parser)
    parser.checks.append(partial(_check, parser))


def run(args: argparse.Namespace) -> None:
    """Talk at a terminal; answer one message where one is given or stdin is something else."""
    sampling = options.sampling_of(args) | constraints.of(args)
    messages = [] if args.system is None else [message("system", args.system)]
    if _is_talk(args):
        shows_stats = args.verbose or args.debug
        with options.load_model(args) as model:
            BAR.clear()
            how = {"format": args.format, **sampling}
            Session(model, messages, shows_stats=shows_stats, **how).run()
        return
    messages.append(message("user", _only_message(args)))
    with options.load_model(args) as model:
        stream = model.stream_chat(messages, format=args.format, progress=BAR, **sampling)
        output.answer(model, stream, as_json=args.json)


def _is_talk(args: argparse.Namespace) -> bool:
    return args.prompt is None and sys.stdin.isatty()


def _check(parser: Parser, args: argparse.Namespace) -> None:
    """Let argparse complain where options do not go together."""
    if args.json and _is_talk(args):
        parser.error("--json is for one message: give it as an argument, with -p or on stdin")


def _only_message(args: argparse.Namespace) -> str:
    """What is given, or all of stdin; its last line's end, which a shell put there, left out."""
    if args.prompt is None:
        args.prompt = "-"
    text = options.prompt_of(args)
    if args.prompt == "-":
        text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise RequestError("message", expected="some text", got="nothing")
    return text
