"""Options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

from halfbyte.cli import streams
from halfbyte.cli.engine_flags import add_arithmetic, add_kv_type, add_window
from halfbyte.cli.parser import Parser
from halfbyte.cli.progress import BAR
from halfbyte.cli.sampler_flags import SAMPLER_FLAGS, add_bans, add_samplers, asked
from halfbyte.engine.page_clearing import begun_for
from halfbyte.errors import RequestError
from halfbyte.generation.params import SamplingParams
from halfbyte.models import DEFAULT_MODEL
from halfbyte.system import available_memory

if TYPE_CHECKING:
    from halfbyte.model import Model

UNTIL_END = 2**31 - 1  # tokens: more than any context holds
_MODEL = "a .gguf file, a model folder, a name of the catalogue or org/name"
# Flag, parameter, type, what the help says. The defaults are those of SamplingParams.
_SAMPLING = (
    ("--temp", "temperature", float, "0 takes the most likely token"),
    ("--top-k", "top_k", int, "keep the k most likely tokens, 0: all"),
    ("--top-p", "top_p", float, "keep the likeliest tokens up to this probability, 1: all"),
    ("--min-p", "min_p", float, "keep tokens this likely beside the likeliest, 0: all"),
    ("--repeat-penalty", "repetition_penalty", float, "1: none"),
    ("--presence-penalty", "presence_penalty", float, "0: none"),
    ("--frequency-penalty", "frequency_penalty", float, "0: none"),
    ("--seed", "seed", int, "the same seed gives the same text"),
)


def add_model(parser: Parser, *, default: str = DEFAULT_MODEL) -> None:
    """-m: which model."""
    parser.add_argument(
        "-m", "--model", default=default, metavar="MODEL",
        help=f"{_MODEL} (default: %(default)s)",
    )  # fmt: skip


def add_looked_at(parser: Parser, *, default: str | None = None) -> None:
    """The model that a command looks at: its one bare argument, or -m."""
    what = f"{_MODEL} (default: {default})" if default else _MODEL
    parser.add_argument("model", metavar="MODEL", nargs="?", help=what)
    parser.add_argument("-m", "--model", dest="m", metavar="MODEL", help="the same")

    def check(args: argparse.Namespace) -> None:
        if args.model is not None and args.m is not None:
            parser.error(f"two models: {args.model} and -m {args.m}")
        args.model = args.model or args.m or default
        if args.model is None:
            parser.error("no MODEL is given")

    parser.checks.append(check)


def load_model(args: argparse.Namespace) -> Model:
    """The model that the options of `add_model` and `add_engine` describe, ready to use."""
    with begun_for(args.model, available_memory()):
        return _load(args)


def _load(args: argparse.Namespace) -> Model:
    import halfbyte

    folder = getattr(args, "prompt_cache", None)
    more: dict[str, Any] = {} if folder is None else {"prompt_cache_dir": folder}
    if getattr(args, "adapter", None):
        more["adapter"] = args.adapter
    for name in ("draft", "attention_window", "attention_sinks"):
        if (value := getattr(args, name, None)) is not None:
            more[name] = value
    return halfbyte.load(
        args.model, threads=args.threads, ctx=args.ctx, kv_type=args.kv_type,
        arithmetic=args.arithmetic, progress=BAR, **more,
    )  # fmt: skip


def add_engine(parser: Parser) -> None:
    """-c, -t, --kv-type, --arithmetic, --attention-window: how it is loaded."""
    group = parser.add_argument_group("engine")
    group.add_argument(
        "-c", "--ctx", type=positive, metavar="N", help="context in tokens (default: the model's)"
    )
    group.add_argument(
        "-t", "--threads", type=positive, metavar="N",
        help="threads (default: the physical cores that this process may use)",
    )  # fmt: skip
    add_kv_type(group)
    add_arithmetic(group)
    add_window(group)


def add_adapter(parser: Parser, what: str = "a LoRA: a peft folder or a .gguf adapter") -> None:
    """--adapter: what changes the model."""
    parser.add_argument(
        "--adapter", action="append", type=adapter, metavar="PATH[=SCALE]",
        help=f"{what} (docs/adapters.md); may be given again",
    )  # fmt: skip


def add_prompt_cache(parser: Parser) -> None:
    """--prompt-cache: where prompts are remembered."""
    parser.add_argument(
        "--prompt-cache", metavar="DIR",
        help="a folder in which what was processed is kept for the next time (docs/caches.md)",
    )  # fmt: skip


def add_draft(
    parser: argparse._ActionsContainer, what: str = "a smaller model that guesses"
) -> None:
    """--draft, --no-draft: what guesses."""
    why = "the same text, sooner where it pays (docs/speculation.md)"
    parser.add_argument("--draft", metavar="MODEL", help=f"{what}: {why}")
    what = "do without the model's own layer that guesses, where it has one"
    parser.add_argument("--no-draft", dest="draft", action="store_false", default=None, help=what)


def add_sampling(
    parser: Parser,
    usual: Mapping[str, float] | None = None,
    *,
    ends_itself: bool = False,
    has_cursor: bool = False,
) -> None:
    """-n and how tokens are chosen; checked before anything is loaded.

    `usual` are the defaults where the model's file states none. An answer that `ends_itself` has
    its own length and no stops; one that `has_cursor` goes on with code.
    """
    defaults = {field.name: field.default for field in fields(SamplingParams)}
    group = parser.add_argument_group("sampling")
    n_usual = "by the text" if ends_itself else defaults["max_tokens"]
    group.add_argument(
        "-n", "--max-tokens", type=_max_tokens, metavar="N",
        help="most tokens to generate, -1: until the model ends or the context is full "
        f"(default: {n_usual})",
    )  # fmt: skip
    for flag, name, kind, text in _SAMPLING:
        default = "random" if defaults[name] is None else f"{defaults[name]:g}"
        if usual is not None and name in usual:
            default = f"the model's, else {usual[name]:g}"
        group.add_argument(
            flag, dest=name, type=kind, metavar="X", help=f"{text} (default: {default})"
        )
    if not ends_itself:
        group.add_argument(
            "--stop", action="append", type=_unescaped, metavar="TEXT",
            help=r"stop before this text; \n, \r, \t and \\ are escapes; may be repeated",
        )  # fmt: skip
    add_samplers(parser, defaults, _unescaped)
    add_bans(parser, _unescaped, has_cursor=has_cursor)
    parser.checks.append(partial(_check_sampling, parser))


def add_json(parser: Parser) -> None:
    """--json: the answer for programs."""
    parser.add_argument(
        "--json", action="store_true", help="print one object with text, tokens and statistics"
    )


def sampling_of(args: argparse.Namespace) -> dict[str, Any]:
    """What was given of `add_sampling`, by its name in a call."""
    return _params_of(args) | asked(args)


def _params_of(args: argparse.Namespace) -> dict[str, Any]:
    names = [field.name for field in fields(SamplingParams)]
    return {name: value for name in names if (value := getattr(args, name, None)) is not None}


def _check_sampling(parser: Parser, args: argparse.Namespace) -> None:
    flags = {name: flag for flag, name, _, _ in (*_SAMPLING, *SAMPLER_FLAGS)}
    flags["dry_sequence_breakers"] = "--dry-sequence-breaker"
    try:
        SamplingParams(**_params_of(args))
    except RequestError as error:
        flag = flags.get(error.param, f"--{error.param}")
        parser.error(f"argument {flag}: expected {error.expected}, got {error.got}")


def add_prompt(
    parser: Parser,
    group: argparse._ArgumentGroup | None = None,
    *,
    required: bool = True,
    what: str = "the text",
    unless: str = "",
) -> None:
    """The text: the command's one bare argument, -p or stdin; `unless` may stand in its place."""
    shown: argparse._ActionsContainer = group or parser
    shown.add_argument("text", metavar="TEXT", nargs="?", help=f"{what}; - is stdin, as UTF-8")
    shown.add_argument("-p", "--prompt", action=_Once, metavar="TEXT", help="the same")

    def check(args: argparse.Namespace) -> None:
        if args.text is not None and args.prompt is not None:
            parser.error("the text is given twice, with -p and without")
        args.prompt = args.text if args.prompt is None else args.prompt
        if unless and getattr(args, unless) is not None:
            if args.prompt is not None:
                parser.error(f"give either a TEXT or --{unless}")
            return
        if args.prompt is None and required and not take_stdin(args):
            parser.error(f"no TEXT is given: {what}; as an argument, with -p or on stdin")

    parser.checks.append(check)


def add_heal(parser: Parser) -> None:
    """--no-heal: whether the text's end may be cut into other tokens."""
    parser.add_argument(
        "--no-heal", dest="heal", action="store_false",
        help="keep the tokens at the cursor; otherwise the model may choose them anew, so that "
        "'retu' can become 'return'",
    )  # fmt: skip


def add_syntax(parser: Parser) -> None:
    """--syntax: the language that the answer is in; None where it is not given."""
    parser.add_argument(
        "--syntax", choices=("python",),
        help="end where the block is complete and the whole parses (docs/infilling.md)",
    )  # fmt: skip


def syntax_of(args: argparse.Namespace) -> dict[str, Any]:
    """The argument of a call that `add_syntax` stands for, where it was given."""
    return {} if args.syntax is None else {"syntax": args.syntax}


def add_order(parser: Parser) -> None:
    """--order: which part of an infilling prompt comes first; None where it is not given."""
    parser.add_argument(
        "--order", choices=("auto", "psm", "spm"),
        help="psm: prefix first, spm: suffix first, auto: suffix first inside a line or before a "
        "long suffix (default)",
    )  # fmt: skip


def prompt_of(args: argparse.Namespace) -> str:
    """The prompt's text.

    Raises:
        RequestError: it is not valid UTF-8.
    """
    text = str(args.prompt)
    if text == "-":
        data = args.stdin if "stdin" in args else streams.read_stdin("prompt")
        return decode_utf8(data, "prompt")
    # Bytes of an argument that are no UTF-8 arrive as lone surrogates.
    return decode_utf8(text.encode("utf-8", "surrogateescape"), "prompt")


def take_stdin(args: argparse.Namespace) -> bool:
    """Take the prompt from a stdin that is no terminal, if anything comes from there."""
    if sys.stdin.isatty():
        return False
    try:
        args.stdin = streams.read_stdin("prompt")
    except RequestError:  # it is closed
        return False
    args.prompt = "-" if args.stdin else None
    return bool(args.stdin)


def decode_utf8(data: bytes, name: str) -> str:
    """The text of these bytes, each character kept; `name` says whose they are.

    Raises:
        RequestError: they are not valid UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(
            name, expected="valid UTF-8", got=f"byte 0x{data[error.start]:02x} at {error.start}"
        ) from error


class _Once(argparse.Action):
    """An option whose second value would silently take the place of the first."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def adapter(text: str) -> tuple[str, float]:
    """A path and its scale, which follows the last "=" where a number does."""
    path, equals, scale = text.rpartition("=")
    try:
        return (path, float(scale)) if equals and path else (text, 1.0)
    except ValueError:
        return text, 1.0


def _at_least(least: int, text: str) -> int:
    """A whole number, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
    return number


def _max_tokens(text: str) -> int:
    if text == "-1":
        return UNTIL_END
    try:
        return natural(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; -1: until the end") from error


def text_of(argument: str) -> str:
    """A text, for argparse: bytes that are no UTF-8 arrive as lone surrogates."""
    try:
        return decode_utf8(argument.encode("utf-8", "surrogateescape"), "text")
    except RequestError as error:
        raise argparse.ArgumentTypeError(f"expected {error.expected}, got {error.got}") from error


def _unescaped(argument: str) -> str:
    r"""A text in which \n, \r, \t and \\ stand for what a shell can hardly type."""
    meant = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
    return re.sub(r"\\([nrt\\])", lambda found: meant[found[1]], text_of(argument))


natural, positive = partial(_at_least, 0), partial(_at_least, 1)
at_least_two = partial(_at_least, 2)
