"""Options for several answers, the best of them, and how likely their tokens are."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from halfbyte.cli import options
from halfbyte.cli.parser import Parser
from halfbyte.errors import RequestError

if TYPE_CHECKING:
    from halfbyte.generation.completion import Completion

_FLAGS = {"n": "--candidates", "best_of": "--best-of", "num_beams": "--beams",
          "logprobs": "--logprobs"}  # fmt: skip


def add_candidates(parser: Parser) -> None:
    """--candidates, --best-of, --beams, --logprobs."""
    group = parser.add_argument_group("several answers (docs/candidates.md)")
    group.add_argument(
        "--candidates", dest="n", type=options.positive, metavar="N",
        help="draw N answers to the same text, or give the N best; with --json, which lists them",
    )  # fmt: skip
    group.add_argument(
        "--best-of", dest="best_of", type=options.positive, metavar="N",
        help="draw N answers and give the likeliest",
    )  # fmt: skip
    group.add_argument(
        "--beams", dest="num_beams", type=options.positive, metavar="N",
        help="search for the likeliest answer along N branches",
    )  # fmt: skip
    group.add_argument(
        "--logprobs", type=options.natural, metavar="K",
        help="tell each token's log-probability and the K likeliest in its place; with --json",
    )  # fmt: skip
    parser.checks.append(partial(_check, parser))


def candidates_of(args: argparse.Namespace) -> dict[str, Any]:
    """What was given, by name."""
    return {name: value for name in _FLAGS if (value := getattr(args, name)) is not None}


def as_dicts(found: Iterable[Completion]) -> list[dict[str, Any]]:
    """Answers as JSON lists them."""
    return [
        {
            "text": one.text, "tokens": one.tokens, "finish_reason": one.finish_reason,
            "seed": one.seed, "score": one.score, **logprobs_of(one),
        }
        for one in found
    ]  # fmt: skip


def logprobs_of(done: Completion) -> dict[str, Any]:
    """An answer's log-probabilities for JSON, if they were asked for."""
    if done.logprobs is None:
        return {}
    return {"logprobs": [one.to_dict() for one in done.logprobs]}


def _check(parser: Parser, args: argparse.Namespace) -> None:
    given = candidates_of(args)
    if getattr(args, "prompts", None) is not None and given:
        parser.error(f"{_FLAGS[next(iter(given))]} is for one prompt")
    for name in ("n", "logprobs"):
        if name in given and not args.json:
            parser.error(f"{_FLAGS[name]} needs --json, which tells them apart")
    if not given:
        return
    from halfbyte.generation.candidates import Candidates
    from halfbyte.generation.probabilities import Probabilities

    try:
        Candidates.split({n: v for n, v in given.items() if n != "logprobs"})
        Probabilities(logprobs=given.get("logprobs"))
    except RequestError as error:
        flag = _FLAGS.get(error.param, error.param)
        parser.error(f"argument {flag}: expected {error.expected}, got {error.got}")
