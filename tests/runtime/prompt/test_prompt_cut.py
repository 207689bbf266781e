"""What stays of a prompt that does not fit, and that nothing is left out unless that is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

import halfbyte
from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.prompt.prompt_cut import PromptCut

BOS = 1
TOKENS = [BOS, *range(10, 30)]


@pytest.mark.parametrize(
    "side, tokens, max_tokens, n_ctx, kept",
    [
        ("left", TOKENS, 0, 22, TOKENS),  # with room for one more it fits
        ("left", TOKENS, 0, 21, [BOS, *range(11, 30)]),
        ("left", TOKENS, 4, 10, [BOS, *range(25, 30)]),
        ("left", TOKENS[1:], 4, 10, [*range(24, 30)]),
        ("left", TOKENS, 1000, 10, [BOS, *range(26, 30)]),  # an answer takes half at most
        ("left", TOKENS, 1000, 22, TOKENS),  # one without a limit has what is left
        ("middle", TOKENS, 4, 10, [BOS, 10, 11, 27, 28, 29]),
        ("middle", TOKENS, 3, 10, [BOS, 10, 11, 26, 27, 28, 29]),
        ("middle", TOKENS, 0, 2, [29]),
        ("left", TOKENS, 0, 2, [29]),
    ],
)
def test_what_stays(
    side: str, tokens: list[int], max_tokens: int, n_ctx: int, kept: list[int]
) -> None:
    assert PromptCut(side, max_tokens).of(tokens, n_ctx, BOS) == kept


@pytest.mark.parametrize("side", ["right", True, 3, ["left"]])
def test_other_sides_are_refused(side: object) -> None:
    with pytest.raises(RequestError, match="left, middle") as caught:
        PromptCut.asked(side, 5)
    assert caught.value.param == "truncate"


def test_a_model_cuts_only_when_asked(tiny_gguf: Path, caplog: pytest.LogCaptureFixture) -> None:
    with halfbyte.load(tiny_gguf, threads=1, ctx=32) as model:
        text = "abc " * 100
        ids = model.tokenizer.encode(text)
        assert len(ids) > 40
        for prompt in (text, ids):
            with pytest.raises(ContextLengthError):
                model.complete(prompt, max_tokens=4)
        cut = model.complete(ids, max_tokens=4, temperature=0, truncate="left")
        kept = PromptCut("left", 4).of(ids, 32, model.tokenizer.bos_id)
        assert cut.tokens == model.complete(kept, max_tokens=4, temperature=0).tokens
        assert cut.stats.n_prompt == 28
        assert "at the beginning" in caplog.text and str(len(ids) - 28) in caplog.text
        assert model.complete(text, max_tokens=4, truncate="middle").stats.n_prompt <= 28
