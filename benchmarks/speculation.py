"""What guessing is worth: answers with it and without, in turns, their tokens the same.

    python benchmarks/speculation.py [--model NAME] [--draft NAME] [--n 20] [--kinds ...]

- code: functions of Python's standard library that the model is asked to write with another name;
  guessed from the prompt alone, and with the function as `prediction=`.
- prose: stories and articles, drawn at temperature 0.8: hardly anything can be guessed.
- edits: windows of 21 lines, of which the answer keeps all but one change; the answers are forced,
  and the window is the prediction, as `model.edit` does.

With --draft, that model guesses too, and two kinds are added that texts say little of:

- new code: the bodies of functions of which the prompt is the head, most likely tokens.
- stories: the beginnings of the prose, most likely tokens.

A draft model that is good by design: the model itself in fewer bits, as smollm2-135m is for what
`halfbyte convert PATH/smollm2-135m-b179c952.gguf smollm2-f32.gguf --type f32` makes of it.

Every answer is made without guesses just before it is made with them. A ratio is the seconds of
decoding without by those with; the median of the N counts. Prints them, and appends them to
benchmarks/results/speculation.jsonl.
"""

from __future__ import annotations

import argparse
import ast
import random
import statistics
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import results
from healing import FILES

import halfbyte
from halfbyte.generation.completion import Completion
from halfbyte.generation.sampler import F32
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.speculation.speculation import Speculation
from halfbyte.generation.text_request import TextRequest

SEED = 1
CACHE = 64 << 20  # bytes that a draft model remembers
N_LINES = 21  # of an edit's window
N_PROSE, PROSE = 128, {"temperature": 0.8, "max_tokens": 128}
BEGINNINGS = (
    "The history of the village begins in the twelfth century, when",
    "On the morning of the trial, the old judge",
    "Most people who keep bees will tell you that",
    "The storm had lasted three days by the time",
    "In economics, the idea of scarcity",
    "My grandmother never spoke about the war, but",
)
ASKED = (
    "Here is a function:\n\n```python\n{code}```\n\n"
    "The same function, with the name `{new}` instead of `{old}`:\n\n```python\n"
)

Answer = Callable[[bool], Completion]  # with guesses or without


@dataclass
class Pairs:
    """Seconds of decoding without guesses and with them, pair by pair."""

    plain_s: list[float] = field(default_factory=list)
    drafted_s: list[float] = field(default_factory=list)
    n_tokens: list[int] = field(default_factory=list)
    n_drafted: list[int] = field(default_factory=list)
    n_accepted: list[int] = field(default_factory=list)

    def measure(self, answer: Answer) -> None:
        """One pair."""
        plain, drafted = answer(False), answer(True)
        if plain.tokens != drafted.tokens:
            raise SystemExit("the answers differ")
        self.plain_s.append(plain.stats.decode_s)
        self.drafted_s.append(drafted.stats.decode_s)
        self.n_tokens.append(drafted.stats.n_decode)
        self.n_drafted.append(drafted.stats.n_drafted)
        self.n_accepted.append(drafted.stats.n_accepted)

    def facts(self) -> dict[str, Any]:
        """With the ratios, and their median."""
        ratios = [a / b for a, b in zip(self.plain_s, self.drafted_s, strict=True)]
        return {**vars(self), "ratios": ratios, "ratio": statistics.median(ratios)}


def functions() -> Iterator[tuple[str, str]]:
    """Names and texts of functions of 15 to 40 lines, the same in every run."""
    rng, folder = random.Random(SEED), Path(sysconfig.get_paths()["stdlib"])
    for name in rng.sample(FILES, len(FILES)):
        text = (folder / name).read_text("utf-8")
        found = [
            node for node in ast.parse(text).body
            if isinstance(node, ast.FunctionDef) and 15 <= node.end_lineno - node.lineno <= 40
        ]  # fmt: skip
        for node in rng.sample(found, min(len(found), 2)):
            lines = text.splitlines(keepends=True)[node.lineno - 1 : node.end_lineno]
            yield node.name, "".join(lines)


def windows() -> Iterator[tuple[str, str]]:
    """Windows of N_LINES lines of code, and what an edit makes of them."""
    rng, folder = random.Random(SEED), Path(sysconfig.get_paths()["stdlib"])
    for i in range(1000):
        lines = (folder / rng.choice(FILES)).read_text("utf-8").splitlines(keepends=True)
        begin = rng.randrange(40, len(lines) - N_LINES)
        window = lines[begin : begin + N_LINES]
        at = rng.randrange(5, 16)
        words = window[at].split()
        if not words:
            continue
        indent = window[at][: len(window[at]) - len(window[at].lstrip())]
        new = (
            [window[at].replace(words[-1], "self.changed_value")],
            [window[at], f'{indent}log.debug("reached %s", value)\n'],
            [],
        )[i % 3]
        yield "".join(window), "".join([*window[:at], *new, *window[at + 1 :]])


class Forced(TextRequest):
    """A request whose answer is known."""

    def __init__(self, answer: list[int], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._answer = answer

    def sample(self, logits: F32) -> int:
        """What is to come."""
        return self._answer[self.n_generated]


def edit(model: halfbyte.Model, window: str, answer: str) -> Answer:
    """An edit's prompt, the window twice, and its answer."""
    encode = model.tokenizer.encode_fragment
    prompt = encode(f"original/a.py\n{window}\ncurrent/a.py\n{window}\nupdated/a.py\n")
    ids, before = encode(answer), encode(window)
    params = halfbyte.SamplingParams(max_tokens=len(ids))

    def made(speculate: bool) -> Completion:
        drafter = Drafter(before) if speculate else None
        request = Forced(ids, model.tokenizer, prompt, params, model.n_ctx, drafter=drafter)
        model.run([request])
        done: Completion = request.result()
        return done

    return made


def rename(model: halfbyte.Model, name: str, code: str, **more: Any) -> Answer:
    """A function is written again with another name."""
    prompt = ASKED.format(code=code, old=name, new=f"{name}_of_old")
    n = len(model.tokenizer.encode_fragment(code))

    def made(speculate: bool) -> Completion:
        return model.complete(prompt, max_tokens=n, stop="```", speculate=speculate, **more)

    return made


def body(model: halfbyte.Model, code: str) -> Answer:
    """What the model writes into a function of which it sees the first three lines."""
    prompt = "".join(code.splitlines(keepends=True)[:3])

    def made(speculate: bool) -> Completion:
        return model.complete(prompt, max_tokens=N_PROSE, speculate=speculate)

    return made


def story(model: halfbyte.Model, i: int, **how: Any) -> Answer:
    """Prose, drawn as the seed has it if nothing else is said."""

    def made(speculate: bool) -> Completion:
        prompt = BEGINNINGS[i % len(BEGINNINGS)]
        params = {**PROSE, "seed": i, **how}
        return model.complete(prompt, speculate=speculate, **params)

    return made


def cases(model: halfbyte.Model, n: int) -> Iterator[tuple[str, list[Answer]]]:
    """Kinds of answers, n of each."""
    found = [one for one, _ in zip(functions(), range(n), strict=False)]
    yield "code", [rename(model, *one) for one in found]
    yield "code, predicted", [rename(model, *one, prediction=one[1]) for one in found]
    yield "prose", [story(model, i) for i in range(n)]
    if model.draft is not None:
        yield "new code", [body(model, code) for _, code in found]
        yield (
            "stories",
            [story(model, i, temperature=0.0, seed=None) for i in range(min(n, len(BEGINNINGS)))],
        )
    yield "edits", [edit(model, *one) for one, _ in zip(windows(), range(n), strict=False)]


def main() -> None:
    """Measure every kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--draft", help="a model that guesses")
    parser.add_argument("--kinds", nargs="*", help="only these, as 'new code'")
    parser.add_argument("--n", type=int, default=20, help="answers of each kind")
    parser.add_argument("--label", default="", help="what is measured, for the record")
    args = parser.parse_args()
    results.warn_if_busy()
    facts: dict[str, Any] = {"label": args.label, "draft": args.draft}
    with halfbyte.load(args.model, draft=args.draft) as model:
        for kind, answers in cases(model, args.n):
            if args.kinds and kind not in args.kinds:
                continue
            # What was said before would help: each kind begins as a new process does.
            model.scheduler.between_steps(lambda: forget(model))
            pairs = Pairs()
            for answer in answers:
                pairs.measure(answer)
            facts[kind] = found = pairs.facts()
            print(f"{kind:16} x {found['ratio']:.2f} ({min(found['ratios']):.2f} to "
                  f"{max(found['ratios']):.2f}); {sum(pairs.n_accepted)} of "
                  f"{sum(pairs.n_drafted)} guesses right, {sum(pairs.n_tokens)} tokens",
                  flush=True)  # fmt: skip
        results.append("speculation", Path(model.path), model.n_threads, facts)


def forget(model: halfbyte.Model) -> None:
    """What earlier answers have taught."""
    draft = model.draft
    fresh = None if draft is None else DraftModel(draft.engine, model.engine, CACHE)
    model.scheduler._worker.batch.speculation = Speculation(fresh)


if __name__ == "__main__":
    main()
