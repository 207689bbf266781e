"""Bad words beside a plain reading of what they are, which is transformers'."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.generation.rules.bad_words import BadWords

IDS = st.lists(st.integers(0, 3), max_size=8)
WORDS = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=5)


@given(WORDS, IDS, IDS, st.integers(0, 8))
def test_the_last_token_of_a_word_is_forbidden(
    words: list[list[int]], prompt: list[int], answer: list[int], n_back: int
) -> None:
    rule = BadWords(words, prompt)
    for token in answer:
        rule.accept(token)
    n_back = min(n_back, len(answer))
    rule.rewind(n_back)
    said = [*prompt, *answer[: len(answer) - n_back]]
    row = np.zeros(4, np.float32)
    rule.change(row)
    forbidden = {
        word[-1] for word in words if word[:-1] == said[len(said) - len(word) + 1 :]
        and len(said) >= len(word) - 1
    }  # fmt: skip
    assert {int(i) for i in np.flatnonzero(np.isneginf(row))} == forbidden
