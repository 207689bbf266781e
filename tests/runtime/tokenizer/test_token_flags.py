"""Tokens that take the whitespace beside them in a chat template's output; the package's spans."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers import Tokenizer as HFTokenizer

from halfbyte.tokenizer.token_flags import TokenFlags

WORD = "<w>"
FLAGS = ("lstrip", "rstrip", "single_word")
TEXTS = st.lists(
    st.sampled_from([WORD, " ", "\n", "\u3000", "\x1c", "\u200b", "a", "é", "_", ".", "1"]),
    max_size=9,
).map("".join)


@settings(max_examples=200)
@given(text=TEXTS, flags=st.lists(st.sampled_from(FLAGS), unique=True))
def test_spans(text: str, flags: list[str]) -> None:
    theirs = HFTokenizer(models.BPE({"q": 0}, []))
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.add_special_tokens([AddedToken(WORD, normalized=False, **dict.fromkeys(flags, True))])
    expected = theirs.encode(text).offsets
    ours, done = [], 0
    rules = TokenFlags({flag: (1,) for flag in flags})
    at = text.find(WORD)
    while at >= 0:
        span = rules.taken(1, text, (at, at + len(WORD)), done)
        if span is not None:
            ours.append(span)
            done = span[1]
        at = text.find(WORD, at + len(WORD))
    assert ours == expected
