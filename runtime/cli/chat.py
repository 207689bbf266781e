"""`halfbyte chat`: talk with a model, or ask it one thing."""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from typing import TYPE_CHECKING

from halfbyte.cli import chat_options, constraints, options, output
from halfbyte.cli.chat_session import Session, message
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.errors import RequestError
from halfbyte.generation.chat_defaults import USUAL

if TYPE_CHECKING:
    from halfbyte.generation.chat_completion import ChatCompletion
    from halfbyte.generation.stream import CompletionStream
    from halfbyte.model import Model


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
    chat_options.add(parser)
    options.add_sampling(parser, USUAL)
    constraints.add(parser)
    options.add_engine(parser)
    options.add_prompt_cache(parser)
    options.add_adapter(parser)
    options.add_draft(parser)
    options.add_json(parser)
    parser.checks.append(partial(_check, parser))


def run(args: argparse.Namespace) -> None:
    """Talk at a terminal; answer one message where one is given or stdin is something else."""
    sampling = options.sampling_of(args) | constraints.of(args) | chat_options.asked(args)
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
        _answer(model, stream, as_json=args.json)


def _answer(model: Model, stream: CompletionStream[ChatCompletion], *, as_json: bool) -> None:
    """The content on stdout, then each call of a tool as a line of JSON."""
    if not as_json:
        output.write(stream)
    done = stream.result()
    calls = [call.to_dict() for call in done.tool_calls]
    if as_json:
        parts = {"reasoning": done.reasoning, "tool_calls": calls, "cut_call": done.cut_call}
        output.print_json(model, done, **parts)
    else:
        output.write(f"{json.dumps(call, ensure_ascii=False)}\n" for call in calls)
    notes = ["a call of a tool was cut"] if done.cut_call else []
    output.print_stats(model, done, *notes)


def _is_talk(args: argparse.Namespace) -> bool:
    return args.prompt is None and sys.stdin.isatty()


def _check(parser: Parser, args: argparse.Namespace) -> None:
    """Let argparse complain where options do not go together."""
    if args.json and _is_talk(args):
        parser.error("--json is for one message: give it as an argument, with -p or on stdin")
    if args.tools is not None and _is_talk(args):
        parser.error("--tools is for one message: give it as an argument, with -p or on stdin")


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
