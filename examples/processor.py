"""Change what comes next by a function of your own: python processor.py [MODEL]."""

import sys

import numpy as np
from numba import njit

import halfbyte

PROMPT = "numbers = ["


@njit
def never_twice(ids, row):
    """Forbid what was said: each token comes once, the prompt's too."""
    for token in ids:
        row[token] = -np.inf


def fewer_lines(ids, row):
    """Make a line's end less likely, by its token."""
    row[newline] -= 4.0


with halfbyte.load(sys.argv[1] if len(sys.argv) > 1 else "infill-10m") as model:
    (newline,) = model.tokenizer.encode_fragment("\n")
    plain = model.complete(PROMPT, max_tokens=12)
    once = model.complete(PROMPT, max_tokens=12, logits_processor=[never_twice, fewer_lines])
    print(f"{PROMPT}{plain.text}")
    print(f"{PROMPT}{once.text}")
    assert len(set(once.tokens)) == len(once.tokens)
