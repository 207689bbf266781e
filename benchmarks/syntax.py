"""What syntax="python" is worth: gaps in real functions filled with it and without.

    python benchmarks/syntax.py [--model NAME] [--gaps 60] [--label WORD]

The code is Python's standard library; of each kind of gap there are GAPS, the same in every run.
Prints for each kind how many fillings parse, how many are the text that was there, their mean
length in characters, and what of the time the checks took; appends them to
benchmarks/results/syntax.jsonl. Beside these, it says how long a check takes in long files.
"""

from __future__ import annotations

import argparse
import ast
import logging
import random
import statistics
import sysconfig
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import results
from healing import FILES

import halfbyte
from halfbyte.generation.syntax.python_scope import PythonScope

SEED, N_TOKENS = 1, 96
KINDS = ("lines", "rest of a block", "end of a line", "within a line", "body")


def functions(text: str) -> Iterator[ast.FunctionDef]:
    """Those that have at least six lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.body[0].lineno > 5:
            yield node


def gap(kind: str, text: str, function: ast.FunctionDef, rng: random.Random) -> tuple[int, int]:
    """Begin and end of what is taken out of a function."""
    lines = text.splitlines(keepends=True)
    offsets = [0]
    for line in lines:
        offsets.append(offsets[-1] + len(line))
    first, last = function.body[0].lineno - 1, function.end_lineno or 0
    n = rng.randrange(first, last - 1)
    if kind == "lines":
        return offsets[n], offsets[min(n + rng.randint(1, 3), last)]
    if kind == "rest of a block":
        return offsets[n], offsets[last]
    if kind == "body":
        return offsets[first] - 1, offsets[last] - 1
    line = lines[n].rstrip("\n")
    indent = len(line) - len(line.lstrip())
    begin = offsets[n] + rng.randint(indent, max(indent, len(line) - 1))
    end = offsets[n] + len(line)
    return begin, end if kind == "end of a line" else rng.randint(begin, end)


def gaps(n_each: int) -> dict[str, list[tuple[str, str, str]]]:
    """(prefix, middle, suffix) of `n_each` gaps of every kind."""
    rng = random.Random(SEED)
    folder = Path(sysconfig.get_paths()["stdlib"])
    texts = [(folder / name).read_text("utf-8") for name in FILES if (folder / name).is_file()]
    found: dict[str, list[tuple[str, str, str]]] = {kind: [] for kind in KINDS}
    for kind, made in found.items():
        while len(made) < n_each:
            text = rng.choice(texts)
            begin, end = gap(kind, text, rng.choice(list(functions(text))), rng)
            if text[begin:end].strip():
                made.append((text[:begin], text[begin:end], text[end:]))
    return found


def is_python(text: str) -> bool:
    """Whether all of it parses."""
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True


def measure(model: halfbyte.Model, places: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Fillings of one kind of gap, with and without."""
    rows: dict[str, Any] = {"n": len(places)}
    for name, more in (("without", {}), ("with", {"syntax": "python"})):
        how: dict[str, Any] = {"max_tokens": N_TOKENS, "reuse_answer": False, **more}
        begun = time.perf_counter()
        done = [model.infill(before, after, **how) for before, _, after in places]
        real = [middle for _, middle, _ in places]
        rows[name] = {
            "seconds": time.perf_counter() - begun,
            "parse": sum(is_python(d.full_text) for d in done),
            "exact": sum(d.text.strip() == r.strip() for d, r in zip(done, real, strict=True)),
            "empty": sum(not d.text.strip() for d in done),
            "characters": statistics.mean(len(d.text) for d in done),
            "tokens": statistics.mean(len(d.tokens) for d in done),
            "by_syntax": sum(d.finish_reason == "syntax" for d in done),
            "by_length": sum(d.finish_reason == "length" for d in done),
        }
    return rows


def long_file(n_lines: int = 1500) -> dict[str, float]:
    """What a file of so many lines costs once, and for each line that comes, in milliseconds."""
    method = "    def f{}(self, x):\n        if x:\n            return x\n        return [x, 1]\n\n"
    text = "class A:\n" + "".join(method.format(i) for i in range(n_lines // 5))
    at = text.index("            return x", len(text) // 2)
    begun = time.perf_counter()
    scope = PythonScope.of(text[:at], text[at + 21 :])
    assert scope is not None
    made = time.perf_counter()
    for _ in range(100):
        scope.takes("            return x\n")
    return {"once_ms": 1e3 * (made - begun), "check_ms": 10 * (time.perf_counter() - made)}


def main() -> None:
    """Measure every kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="infill-10m")
    parser.add_argument("--gaps", type=int, default=60, metavar="N", help="of each kind")
    parser.add_argument("--label", default="", help="what is measured, for the record")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()  # what the model is not shown
    kinds = {}
    print("1,500 lines:", {name: round(ms, 2) for name, ms in long_file().items()}, flush=True)
    with halfbyte.load(args.model) as model:
        for kind, places in gaps(args.gaps).items():
            kinds[kind] = measure(model, places)
            for name in ("without", "with"):
                row = {k: round(v, 1) for k, v in kinds[kind][name].items()}
                print(f"{kind:16} {name:8} of {len(places)}: {row}", flush=True)
        facts = {"label": args.label, "n_tokens": N_TOKENS, "kinds": kinds, **long_file()}
        results.append("syntax", Path(model.path), model.n_threads, facts)


if __name__ == "__main__":
    main()
