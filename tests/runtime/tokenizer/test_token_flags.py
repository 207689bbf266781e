"""Tokens that take the whitespace beside them in a chat template's output; the package's spans."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.tokenizer.token_flags import TokenFlags

WORD, SPACED = "<w>", " <x>"
FLAGS = ("lstrip", "rstrip", "single_word")
TEXTS = st.lists(
    st.sampled_from([WORD, SPACED, " ", "\n", "\u3000", "\x1c", "\u200b", "a", "é", "_", ".", "1"]),
    max_size=9,
).map("".join)


@settings(max_examples=200)
@given(text=TEXTS, flags=st.lists(st.sampled_from(FLAGS), unique=True))
def test_spans(text: str, flags: list[str]) -> None:
    theirs = HFTokenizer(models.BPE({"q": 0}, []))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens = [AddedToken(WORD, normalized=False, **dict.fromkeys(flags, True)), SPACED]
    theirs.add_special_tokens(tokens)
    ids = {WORD: theirs.token_to_id(WORD), SPACED: theirs.token_to_id(SPACED)}
    ours: list[int] = []
    done = 0
    rules = TokenFlags({flag: (ids[WORD],) for flag in flags})
    spans = []
    for found in re.finditer(f"{WORD}|{SPACED}", text):
        span = rules.taken(ids[found[0]], text, found.span(), done)
        if span is not None:
            ours.append(ids[found[0]])
            spans.append(span)
            done = span[1]
    encoding = theirs.encode(text)
    assert ours == encoding.ids
    if SPACED not in text:  # the package's may overlap
        assert spans == encoding.offsets
