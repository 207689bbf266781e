"""What the model wrote, on stdout: piece by piece, or as one JSON object."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from halfbyte.cli import report, streams
from halfbyte.cli.progress import BAR, log_kept

if TYPE_CHECKING:
    from halfbyte.generation.completion import Completion
    from halfbyte.generation.stream import CompletionStream
    from halfbyte.model import Model


_CUT = {
    "length": "cut at the length that -n sets", "context": "cut: the context is full",
    "syntax": "it does not parse",
    "confidence": "nothing: the first token is less likely than --min-confidence",
}  # fmt: skip


def answer(model: Model, stream: CompletionStream[Any], *, as_json: bool) -> None:
    """All of a generation on stdout, its statistics on stderr."""
    if not as_json:
        write(stream)
    done = stream.result()
    if as_json:
        print_json(model, done)
    print_stats(model, done)


def write(pieces: Iterable[str], *, always_ends_line: bool = False) -> None:
    """Show each piece as soon as it is there, and on a screen end the line.

    Elsewhere stdout gets the exact text and no more, unless it `always_ends_line`; in a log that
    stderr goes to as well, it is stderr that ends the line.
    """
    with log_kept():
        _write(pieces, always_ends_line=always_ends_line)


def _write(pieces: Iterable[str], *, always_ends_line: bool) -> None:
    last = ""
    for piece in pieces:
        BAR.clear()
        sys.stdout.write(streams.for_stdout(piece))
        sys.stdout.flush()
        last = piece or last
    BAR.clear()
    if last.endswith("\n"):
        return
    if always_ends_line or sys.stdout.isatty():
        sys.stdout.write("\n")
        sys.stdout.flush()
    elif streams.are_one():
        streams.note("")  # the statistics begin a line of their own


def print_json(model: Model, done: Completion, **more: object) -> None:
    """One object: text, tokens, why it ended, what it cost, and what one command adds."""
    BAR.clear()
    report.print_json({
        "model": model.path, "text": done.text, **more, "healed": done.healed,
        "tokens": done.tokens, "finish_reason": done.finish_reason, "seed": done.seed,
        **completeness(done),
        "stats": asdict(done.stats) | {"load_s": model.load_s},
    })  # fmt: skip


def completeness(done: Completion) -> dict[str, bool]:
    """Whether the answer is all that was asked for, where something was."""
    return {} if done.is_complete is None else {"is_complete": done.is_complete}


def print_stats(model: Model, done: Completion, *notes: str) -> None:
    """One line on stderr about a generation that came to its end."""
    if done.finish_reason in _CUT:
        notes = (_CUT[done.finish_reason], *notes)
    if completeness(done).get("is_complete") is False:
        notes = ("not all that was asked for", *notes)
    seed = [] if done.seed is None else [f"seed {done.seed}"]
    streams.note(report.stats_line(done.stats, model.nbytes_per_token, *notes, *seed))
