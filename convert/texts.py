"""The texts that come with the package, and how a text becomes windows of tokens.

`calibration` is what importance and Hessians are taken from, `heldout` what results are measured
on: a small Python corpus of the project's own (benchmarks/make_texts.py), disjoint, Apache-2.0.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import RequestError
from halfbyte.tokenizer import Tokenizer

N_WINDOW = 512


def packaged_text(name: str) -> str:
    """`calibration` or `heldout`."""
    return (files("halfbyte.convert") / "data" / f"{name}.txt").read_text("utf-8")


def token_windows(
    tokenizer: Tokenizer, text: str, length: int = N_WINDOW, *, max_windows: int | None = None
) -> NDArray[np.int64]:
    """A text as consecutive windows of tokens, int64 (windows, length).

    Each begins with BOS where the vocabulary wants one. Tokens that fill no whole window are left
    out, except where the text is shorter than one: then there is one window of its length.

    Raises:
        RequestError: the text has fewer than two tokens.
    """
    ids = tokenizer.encode(text, add_bos=False)
    start = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    if len(start) + len(ids) < 2:
        raise RequestError("text", expected="at least two tokens", got=len(ids))
    step = min(length - len(start), len(ids))
    begins = range(0, len(ids) - step + 1, step)[:max_windows]
    return np.array([start + ids[begin : begin + step] for begin in begins], np.int64)
