"""Next edits: `model.edit` with and without the guess that most of the window stays, in turns.

    python benchmarks/edit_replay.py [smollm2] [--n 20]

Windows of 21 lines of Python's standard library, in Sweep's format, of which an edit changes,
inserts or deletes one line near the cursor. The answers are forced by a rule of the request, so
that random weights serve (synth_infill.py): both ways the same logits are computed, and the rule
costs the same. A ratio is the seconds of decoding without guesses by those with; the median of the
N counts. `call` is the same of whole calls, the second of which knows the prompt already. A line is
appended to benchmarks/results/edits.jsonl.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sysconfig
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import results
import synth_infill
from healing import FILES

import halfbyte
from halfbyte import settings
from halfbyte.generation.edit import Edit
from halfbyte.generation.sampler import F32
from halfbyte.generation.text_request import TextRequest
from halfbyte.planning.request_maker import RequestMaker
from halfbyte.prompt.edit.edit_encoder import EditPrompt

SEED = 1
FORMAT: Any = "sweep"
N_CHANGED = 5  # the changed line is at most so far behind the cursor's
TARGET, THREADS = 3.0, 2


@dataclass(frozen=True, slots=True)
class Case:
    """A text with a cursor, and the text that the edit makes of it."""

    text: str
    line: int
    wanted: str


def cases() -> Iterator[Case]:
    """Edits of one line each, the same in every run."""
    rng, folder = random.Random(SEED), Path(sysconfig.get_paths()["stdlib"])
    i = 0
    while True:
        lines = (folder / rng.choice(FILES)).read_text("utf-8").splitlines(keepends=True)
        line = rng.randrange(40, len(lines) - 40)
        at = line + rng.randrange(N_CHANGED)
        words = lines[at].split()
        if not words:
            continue
        indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
        new = (
            [lines[at].replace(words[-1], "self.changed_value")],
            [lines[at], f'{indent}log.debug("reached %s", value)\n'],
            [],
        )[i % 3]
        i += 1
        yield Case("".join(lines), line, "".join([*lines[:at], *new, *lines[at + 1 :]]))


class ForcedAnswer:
    """A rule that leaves one token each time: those of a known answer, then one that ends it."""

    def __init__(self, ids: list[int], end: int) -> None:
        self._ids, self._n = [*ids, end], 0

    def change(self, row: F32) -> None:
        """Forbid all but the next token."""
        token = self._ids[self._n]
        kept = row[token]
        row[:] = float("-inf")
        row[token] = kept

    def accept(self, token: int) -> None:
        """Go on to the next."""
        self._n += 1


def forced(maker: RequestMaker, wanted: str) -> Callable[..., TextRequest]:
    """`request` of a maker for edits whose answers make a text."""
    request = type(maker).request

    def made(prompt: EditPrompt, *args: Any, **more: Any) -> TextRequest:
        ids = maker._tokenizer.encode_fragment(answer_of(prompt, wanted))
        rule = ForcedAnswer(ids, end=min(prompt.stop_ids))
        return request(maker, prompt, *args, rules=[rule], **more)

    return made


def answer_of(prompt: EditPrompt, wanted: str) -> str:
    """What a model in Sweep's format writes to make this text: the window from the cursor on."""
    draft, before = prompt.draft_text.removesuffix("\n"), prompt.view.text
    begin = prompt.layout.begin + len(prompt.layout.old) - len(draft)
    n_behind = len(before) - begin - len(draft)
    return wanted[begin : len(wanted) - n_behind] + "\n"


def edit(
    model: halfbyte.Model, case: Case, window: int | None, speculate: bool
) -> tuple[Edit, float]:
    """The edit, with guesses or without, and the seconds of the call."""
    begin, at = time.perf_counter(), (case.line + 1, 1)
    done = model.edit("a.py", case.text, at, format=FORMAT, window=window, speculate=speculate)
    return done, time.perf_counter() - begin


def measure(model: halfbyte.Model, n: int, window: int | None = None) -> dict[str, Any]:
    """n edits, each plain and then with guesses: seconds and tokens of each, and the ratios."""
    rows, maker = [], model._planner._maker
    for case, _ in zip(cases(), range(n), strict=False):
        with mock.patch.object(maker, "request", forced(maker, case.wanted)):
            plain, plain_s = edit(model, case, window, speculate=False)
            drafted, drafted_s = edit(model, case, window, speculate=True)
        if not plain.full_text == drafted.full_text == case.wanted:
            raise SystemExit("an edit is not the one that was forced")
        stats = drafted.stats
        rows.append({
            "plain_s": plain.stats.decode_s, "drafted_s": stats.decode_s,
            "plain_call_s": plain_s, "drafted_call_s": drafted_s,
            "ratio": plain.stats.decode_s / stats.decode_s, "call_ratio": plain_s / drafted_s,
            "n_tokens": stats.n_decode, "n_drafted": stats.n_drafted,
            "n_accepted": stats.n_accepted,
        })  # fmt: skip
    medians = {key: statistics.median(row[key] for row in rows) for key in ("ratio", "call_ratio")}
    return medians | {"edits": rows}


def main() -> None:
    """Measure with one model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", choices=synth_infill.KINDS, default="smollm2")
    parser.add_argument("--n", type=int, default=20, help="edits")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    args = parser.parse_args()
    results.warn_if_busy()
    path = synth_infill.ensure(args.model, args.files)
    with halfbyte.load(path, threads=THREADS) as model:
        facts = measure(model, args.n)
    rows = facts["edits"]
    ratios = [row["ratio"] for row in rows]
    n_right, n_guessed = (sum(row[key] for row in rows) for key in ("n_accepted", "n_drafted"))
    print(f"{args.model}: decoding x {facts['ratio']:.2f} ({min(ratios):.2f} to {max(ratios):.2f}; "
          f"target {TARGET}), calls x {facts['call_ratio']:.2f}; {n_right} of {n_guessed} guesses "
          "right")  # fmt: skip
    results.append("edits", path, THREADS, {"name": args.model, "target": TARGET} | facts)


if __name__ == "__main__":
    main()
