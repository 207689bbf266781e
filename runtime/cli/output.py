"""What the model wrote, on stdout: piece by piece, or as one JSON object."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from halfbyte.cli import report
from halfbyte.cli.progress import BAR

if TYPE_CHECKING:
    from halfbyte.generation.completion import Completion
    from halfbyte.generation.stream import CompletionStream
    from halfbyte.model import Model


def answer(model: Model, stream: CompletionStream[Completion], *, as_json: bool) -> None:
    """All of a generation on stdout, its statistics on stderr."""
    if not as_json:
        write(stream)
    done = stream.result()
    if as_json:
        print_json(model, done)
    print_stats(model, done, *cut(done))


def write(pieces: Iterable[str], *, always_ends_line: bool = False) -> None:
    """Show each piece as soon as it is there, and on a screen end the line.

    Elsewhere stdout gets the exact text and no more, unless it `always_ends_line`.
    """
    last = ""
    for piece in pieces:
        BAR.clear()
        sys.stdout.write(piece)
        sys.stdout.flush()
        last = piece or last
    BAR.clear()
    if (always_ends_line or sys.stdout.isatty()) and not last.endswith("\n"):
        sys.stdout.write("\n")
        sys.stdout.flush()


def print_json(model: Model, done: Completion, **more: str) -> None:
    """One object: text, tokens, why it ended, what it cost, and what one command adds."""
    BAR.clear()
    report.print_json({
        "model": model.path, "text": done.text, **more, "healed": done.healed,
        "tokens": done.tokens, "finish_reason": done.finish_reason,
        "stats": asdict(done.stats) | {"load_s": model.load_s},
    })  # fmt: skip


def cut(done: Completion) -> list[str]:
    """What the line of statistics says of an answer that did not come to its own end."""
    if done.finish_reason == "length":
        return [f"cut after {len(done.tokens)} tok, -n sets how many"]
    return ["cut: the context is full"] if done.finish_reason == "context" else []


def print_stats(model: Model, done: Completion, *notes: str) -> None:
    """One line on stderr about a generation that came to its end."""
    print(report.stats_line(done.stats, model.nbytes_per_token, *notes), file=sys.stderr)
