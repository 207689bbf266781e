"""One mutant tried: what a user would do with the file, and what may come of it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import halfbyte

TEXT = "def f(x):\n    return"
REFUSED, STOPPED, RAN = "refused", "stopped", "ran"  # an error while loading, later, none


@dataclass(frozen=True)
class Outcome:
    """What came of it; `fault` says what may not be."""

    kind: str
    error: str = ""
    fault: str = ""


def logits_of(path: Path) -> NDArray[np.float32]:
    """The logits of TEXT, by which unharmed mutants are known."""
    with halfbyte.load(path, threads=1) as model:
        return model.logits(model.tokenizer.encode(TEXT))


def attempt(path: Path, expected: NDArray[np.float32] | None, *, as_hf: bool = False) -> Outcome:
    """Load the file and use it.

    Args:
        path: the mutant.
        expected: the logits that it has to give, where it means what it meant.
        as_hf: read the vocabulary as transformers' users do, too.
    """
    kind = REFUSED
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with halfbyte.load(path, threads=1) as model:
                kind = STOPPED
                fault = _use(model, expected)
            if as_hf and not fault:
                tokenizer = halfbyte.AutoTokenizer.from_pretrained(path)
                tokenizer.decode(tokenizer(TEXT)["input_ids"])
    except halfbyte.HalfbyteError as error:
        if expected is not None:
            return Outcome(kind, str(error), f"refused, though it means the same: {error}")
        long = f"an error of {len(str(error))} characters" if len(str(error)) > 8_000 else ""
        return Outcome(kind, str(error)[:300], long)
    except BaseException as error:  # the very thing that is looked for
        return Outcome(kind, "", f"{type(error).__name__}: {error}"[:500])
    return Outcome(RAN, "", fault)


def _use(model: halfbyte.Model, expected: NDArray[np.float32] | None) -> str:
    """Complete, decode and compute; what is wrong with it, or ""."""
    ids = model.tokenizer.encode(TEXT)
    model.tokenizer.decode(ids)
    done = model.complete(TEXT, max_tokens=4, heal=False)
    if len(done.tokens) > 4:
        return f"{len(done.tokens)} tokens"
    logits = model.logits(ids)
    if not np.isfinite(logits).all():
        return "logits that are not finite, without an error"
    if not np.array_equal(logits, model.logits(ids)):
        return "other logits the second time"
    if expected is not None and not np.array_equal(logits, expected):
        return "other logits than the unchanged file"
    return ""
