"""Options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

from halfbyte.cli.progress import BAR
from halfbyte.errors import RequestError
from halfbyte.generation.params import SamplingParams
from halfbyte.models import DEFAULT_MODEL

if TYPE_CHECKING:
    from halfbyte.model import Model

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


def add_model(parser: argparse.ArgumentParser, *, default: str = DEFAULT_MODEL) -> None:
    """-m: which model."""
    parser.add_argument(
        "-m", "--model", default=default,
        help="a .gguf file, a name of the catalogue or org/name (default: %(default)s)",
    )  # fmt: skip


def load_model(args: argparse.Namespace) -> Model:
    """The model that the options of `add_model` and `add_engine` describe, ready to use."""
    import halfbyte

    return halfbyte.load(
        args.model, threads=args.threads, ctx=args.ctx, kv_type=args.kv_type, progress=BAR
    )


def add_engine(parser: argparse.ArgumentParser) -> None:
    """-c, -t, --kv-type: how it is loaded."""
    group = parser.add_argument_group("engine")
    group.add_argument(
        "-c", "--ctx", type=positive, metavar="N", help="context in tokens (default: the model's)"
    )
    group.add_argument(
        "-t", "--threads", type=positive, metavar="N",
        help="threads (default: the physical cores that this process may use)",
    )  # fmt: skip
    add_kv_type(group)


def add_kv_type(parser: argparse._ActionsContainer) -> None:
    """--kv-type: how keys and values are stored."""
    parser.add_argument(
        "--kv-type", default="f16", metavar="TYPE", help="type of the KV cache (default: f16)"
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """-n and how tokens are chosen."""
    defaults = {field.name: field.default for field in fields(SamplingParams)}
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "-n", "--max-tokens", type=int, metavar="N",
        help=f"most tokens to generate (default: {defaults['max_tokens']})",
    )  # fmt: skip
    for flag, name, kind, text in _SAMPLING:
        default = "random" if defaults[name] is None else f"{defaults[name]:g}"
        group.add_argument(
            flag, dest=name, type=kind, metavar="X", help=f"{text} (default: {default})"
        )
    group.add_argument(
        "--stop", action="append", metavar="TEXT", help="stop before this text; may be repeated"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json: the answer for programs."""
    parser.add_argument(
        "--json", action="store_true", help="print one object with text, tokens and statistics"
    )


def sampling_of(args: argparse.Namespace) -> dict[str, Any]:
    """The sampling parameters that were given, by name; checked.

    Raises:
        RequestError: a value out of range.
    """
    names = [field.name for field in fields(SamplingParams)]
    given = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    SamplingParams(**given)
    return given


def add_prompt(
    parser: argparse._ActionsContainer, *, required: bool = True, what: str = "the text"
) -> None:
    """-p: the text."""
    parser.add_argument(
        "-p", "--prompt", required=required, action=_Once, metavar="TEXT",
        help=f"{what}; - reads stdin as UTF-8",
    )  # fmt: skip


def add_heal(parser: argparse.ArgumentParser) -> None:
    """--no-heal: whether the text's end may be cut into other tokens."""
    parser.add_argument(
        "--no-heal", dest="heal", action="store_false",
        help="keep the tokens at the cursor; otherwise the model may choose them anew, so that "
        "'retu' can become 'return'",
    )  # fmt: skip


def add_order(parser: argparse.ArgumentParser) -> None:
    """--order: which part of an infilling prompt comes first; None where it is not given."""
    parser.add_argument(
        "--order", choices=("auto", "psm", "spm"),
        help="psm: prefix first, spm: suffix first, auto: suffix first inside a line (default)",
    )  # fmt: skip


def prompt_of(args: argparse.Namespace) -> str:
    """The prompt's text.

    Raises:
        RequestError: it is not valid UTF-8.
    """
    text = str(args.prompt)
    if text == "-":
        return decode_utf8(sys.stdin.buffer.read(), "prompt")
    # Bytes of an argument that are no UTF-8 arrive as lone surrogates.
    return decode_utf8(text.encode("utf-8", "surrogateescape"), "prompt")


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


def _at_least(least: int, text: str) -> int:
    """A whole number, for argparse."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least}, got {text!r}")
    return number


natural, positive = partial(_at_least, 0), partial(_at_least, 1)
