"""What healing is worth: cuts of real code completed with it and without, beside how it went on.

    python benchmarks/healing.py [--model NAME] [--cuts 80] [--label WORD]

The code is Python's standard library, cut at random places of five kinds, CUTS of each, the same in
every run. An answer's score is how many of its first N_CHARS characters are the real ones. Prints
for each kind the mean scores, and how often healing did better or worse; appends them to
benchmarks/results/healing.jsonl.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import results

import halfbyte

SEED = 1
N_CHARS, N_TOKENS = 24, 16
N_BEFORE = 600  # characters of the prompt, from the beginning of a line on
# Of these files, which every Python from 3.11 on has, from their first lines of code on.
FILES = (
    "argparse.py", "ast.py", "bisect.py", "calendar.py", "configparser.py", "csv.py",
    "dataclasses.py", "difflib.py", "fractions.py", "ftplib.py", "heapq.py", "inspect.py",
    "mailbox.py", "pathlib.py", "queue.py", "shlex.py", "shutil.py", "socketserver.py",
    "statistics.py", "tarfile.py", "textwrap.py", "timeit.py", "tokenize.py", "zipfile.py",
)  # fmt: skip

Is = Callable[[str, int], bool]


def _is_word(text: str, at: int) -> bool:
    return re.match(r"\w", text[at]) is not None


def _ends_line(text: str, at: int) -> bool:
    return text[at] == "\n" and text[at - 1] not in " \n"


# What makes a place `at` in a text one of its kind; text[at] would come next.
KINDS: dict[str, Is] = {
    "line end": _ends_line,
    "after punctuation": lambda t, at: not _is_word(t, at - 1) and not t[at - 1].isspace()
    and not _ends_line(t, at),
    "inside a word": lambda t, at: all(_is_word(t, i) for i in (at - 2, at - 1, at)),
    "after a word": lambda t, at: _is_word(t, at - 1) and not _is_word(t, at)
    and not _ends_line(t, at),
    "after a space": lambda t, at: t[at - 1] == " " and t[at] not in " \n",
}  # fmt: skip


def cuts(n_each: int) -> dict[str, list[tuple[str, str]]]:
    """(text before, text after) of `n_each` places of every kind."""
    rng = random.Random(SEED)
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts = [(folder / name).read_text("utf-8") for name in FILES if (folder / name).is_file()]
    found: dict[str, list[tuple[str, str]]] = {}
    for kind, is_one in KINDS.items():
        found[kind] = []
        while len(found[kind]) < n_each:
            text = rng.choice(texts)
            at = rng.randrange(N_BEFORE, len(text) - N_CHARS)
            if is_one(text, at):
                begin = text.index("\n", at - N_BEFORE) + 1
                found[kind].append((text[begin:at], text[at : at + N_CHARS]))
    return found


def score(answer: str, real: str) -> int:
    """How many of the first characters agree."""
    pairs = zip(answer, real, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(answer), len(real)))


def measure(model: halfbyte.Model, places: list[tuple[str, str]]) -> dict[str, Any]:
    """The scores of one kind of place."""
    scores: dict[bool, list[int]] = {}
    n_healed = 0
    for heal in (True, False):
        done = model.complete([p for p, _ in places], heal=heal, max_tokens=N_TOKENS)
        scores[heal] = [score(d.text, real) for d, (_, real) in zip(done, places, strict=True)]
        n_healed += sum(bool(d.healed) for d in done)
    pairs = list(zip(scores[True], scores[False], strict=True))
    return {
        "n": len(places), "n_healed": n_healed,
        "healed": statistics.mean(scores[True]), "unhealed": statistics.mean(scores[False]),
        "better": sum(a > b for a, b in pairs), "worse": sum(a < b for a, b in pairs),
        "scores_healed": scores[True], "scores_unhealed": scores[False],
    }  # fmt: skip


def main() -> None:
    """Measure every kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--cuts", type=int, default=80, metavar="N", help="of each kind")
    parser.add_argument("--label", default="", help="what is measured, for the record")
    args = parser.parse_args()
    kinds = {}
    with halfbyte.load(args.model) as model:
        for kind, places in cuts(args.cuts).items():
            k = kinds[kind] = measure(model, places)
            print(f"{kind:18} healed {k['healed']:5.2f}  unhealed {k['unhealed']:5.2f} characters; "
                  f"{k['better']} better, {k['worse']} worse of {k['n']}", flush=True)  # fmt: skip
        facts = {"label": args.label, "n_chars": N_CHARS, "kinds": kinds}
        results.append("healing", Path(model.path), model.n_threads, facts)


if __name__ == "__main__":
    main()
