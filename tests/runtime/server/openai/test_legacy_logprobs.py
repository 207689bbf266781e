"""Tokens as texts, also those that are none."""

from __future__ import annotations

import halfbyte
from halfbyte.generation.probabilities import TokenLogprob, TopToken
from halfbyte.server.openai.legacy_logprobs import legacy_logprobs


def test_tokens_that_are_no_text_have_a_text(model: halfbyte.Model) -> None:
    tokenizer = model.tokenizer
    bos = tokenizer.bos_id
    assert bos is not None
    told = [
        TokenLogprob(bos, b"", 0, None),
        TokenLogprob(9, b"\xc3", 0, -1.0, (TopToken(8, b"a", -0.5), TopToken(7, b"a", -0.7))),
        TokenLogprob(8, b"a", 1, -0.5, (TopToken(8, b"a", -0.5),)),
    ]
    assert legacy_logprobs(tokenizer, told, 3) == {
        "tokens": [tokenizer.piece(bos), "bytes:\\xc3", "a"],
        "token_logprobs": [None, -1.0, -0.5],
        "top_logprobs": [None, {"a": -0.5, "bytes:\\xc3": -1.0}, {"a": -0.5}],
        "text_offset": [3, 3, 4],
    }
