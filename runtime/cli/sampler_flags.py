"""Options for samplers beside the usual ones, for biases, bans and ends; llama.cpp's names."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from halfbyte.cli.parser import Parser
from halfbyte.errors import RequestError
from halfbyte.generation.sampling.sampler_options import SAMPLERS

_WHOLE = 2**31 - 1  # tokens: more than any context holds
Text = Callable[[str], str]


def _window(text: str) -> int:
    """A whole number, for argparse; -1 is all."""
    try:
        return _WHOLE if text == "-1" else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from error


# Flag, parameter, type, what the help says. The defaults are those of SamplingParams.
SAMPLER_FLAGS: tuple[tuple[str, str, Callable[[str], Any], str], ...] = (
    ("--repeat-last-n", "penalty_window", _window,
     ("penalties look at the last X tokens, -1: all (default: all, but presence and frequency at "
     "the answer alone)")),
    ("--top-n-sigma", "top_n_sigma", float, "keep logits within X deviations of the largest"),
    ("--typical", "typical_p", float, "locally typical tokens up to this probability, 1: all"),
    ("--xtc-probability", "xtc_probability", float, "how often the likeliest tokens are left out"),
    ("--xtc-threshold", "xtc_threshold", float, "as likely as this they have to be"),
    ("--top-h", "top_h", float, "likely tokens up to this share of the entropy, 1: all"),
    ("--epsilon-cutoff", "epsilon_cutoff", float, "tokens at least this likely, 0: all"),
    ("--eta-cutoff", "eta_cutoff", float, "the same, but less where the model is unsure"),
    ("--dynatemp-range", "dynatemp_range", float, "the temperature goes up and down by this"),
    ("--dynatemp-exp", "dynatemp_exponent", float, "how the entropy is mapped to it"),
    ("--dry-multiplier", "dry_multiplier", float, "penalty of what goes on with a repetition"),
    ("--dry-base", "dry_base", float, "it grows with the repetition's length by this factor"),
    ("--dry-allowed-length", "dry_allowed_length", int, "from this length on"),
    ("--dry-penalty-last-n", "dry_window", _window, "among the last X tokens, -1: all"),
    ("--mirostat", "mirostat", int, "1 or 2: keep the surprise near a target"),
    ("--mirostat-ent", "mirostat_tau", float, "that target, in bits"),
    ("--mirostat-lr", "mirostat_eta", float, "how fast it is followed"),
    ("--adaptive-target", "adaptive_target", float, "prefer tokens near this probability"),
    ("--adaptive-decay", "adaptive_decay", float, "how long what was chosen is remembered"),
    ("--samplers", "samplers", str,
     f"which are applied, in order, with semicolons between (default: {';'.join(SAMPLERS)})"),
)  # fmt: skip
_OTHERS = ("logit_bias", "min_tokens", "bad_words", "banned_strings", "max_time", "stop_indent",
           "stop_brackets")  # fmt: skip


def add_samplers(parser: Parser, defaults: dict[str, Any], text: Text) -> None:
    """Samplers; `text` reads a text with escapes."""
    group = parser.add_argument_group("more samplers (docs/sampling.md)")
    parser.rare.append(group)
    for flag, name, kind, what in SAMPLER_FLAGS:
        default = defaults[name]
        shown = "" if default is None or "(default" in what else f" (default: {default:g})"
        group.add_argument(flag, dest=name, type=kind, metavar="X", help=what + shown)
    group.add_argument(
        "--dry-sequence-breaker", dest="dry_sequence_breakers", action="append", type=text,
        metavar="TEXT", help="no repetition reaches across it; may be repeated; none: nothing",
    )  # fmt: skip


def add_bans(parser: Parser, text: Text, *, has_cursor: bool) -> None:
    """Biases, bans and ends; those that look at the cursor's code only where there is one."""
    group = parser.add_argument_group("biases, bans and ends (docs/sampling.md)")
    parser.rare.append(group)
    group.add_argument(
        "--logit-bias", action="append", type=_bias, metavar="BIAS",
        help="ID+X, ID-X or TEXT=X: add X to a token's logit; -inf forbids it; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--min-tokens", type=int, metavar="N", help="as many tokens before one that ends the answer"
    )
    group.add_argument(
        "--bad-word", dest="bad_words", action="append", type=text, metavar="TEXT",
        help="these tokens never come in a row; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--ban", dest="banned_strings", action="append", type=text, metavar="TEXT",
        help="the answer never has this text: it steps back and goes on otherwise; may be repeated",
    )  # fmt: skip
    group.add_argument(
        "--max-time", type=float, metavar="S", help="end with what there is after so many seconds"
    )
    if has_cursor:
        group.add_argument(
            "--stop-indent", nargs="?", const=True, type=int, metavar="N",
            help="end before a line indented by less than the cursor's, or than N columns",
        )  # fmt: skip
        group.add_argument(
            "--stop-brackets", nargs="?", const="before", choices=("before", "behind"),
            help="end where a bracket closes that the answer did not open, before or behind it",
        )  # fmt: skip
    parser.checks.append(partial(_check, parser))


def asked(args: argparse.Namespace) -> dict[str, Any]:
    """What was given of `add_bans`, by its name in a call."""
    given = {name: getattr(args, name, None) for name in _OTHERS}
    return {
        name: dict(value) if name == "logit_bias" else value
        for name, value in given.items() if value is not None
    }  # fmt: skip


def _check(parser: Parser, args: argparse.Namespace) -> None:
    """Let argparse complain about what needs no model to be seen wrong."""
    from halfbyte.generation.terms import Terms
    from halfbyte.generation.text_ends import TextEnds

    if args.dry_sequence_breakers == ["none"]:
        args.dry_sequence_breakers = []
    try:
        Terms(max_time=args.max_time)
        TextEnds.split({k: v for k, v in asked(args).items() if k.startswith("stop_")})
    except RequestError as error:
        flag = f"--{error.param.replace('_', '-')}"
        parser.error(f"argument {flag}: expected {error.expected}, got {error.got}")
    if args.min_tokens is not None and args.min_tokens < 0:
        got = args.min_tokens
        parser.error(f"argument --min-tokens: expected a whole number from 0, got {got}")


def _bias(text: str) -> tuple[int | str, float]:
    """A token and a bias, for argparse."""
    by_id = re.fullmatch(r"(\d+)([+-].+)", text)
    token, _, value = text.rpartition("=")
    try:
        if by_id:
            return int(by_id[1]), float(by_id[2])
        if token:
            return token, float(value)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected ID+X, ID-X or TEXT=X, got {text!r}")
