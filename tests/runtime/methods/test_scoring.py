"""Scores are those of the model's own logits, whatever is shared, remembered or beside them."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.prompt.scored import scored_prompt

PROMPT = "import numpy as np\n\n\ndef mean(x):\n    ret"
CHOICES = ["urn x.mean()", "urn sum(x) / len(x)", "\n", "ed = 3", " " * 9]


def log_probs(model: halfbyte.Model, ids: list[int]) -> Any:
    """Of each token but the first, from the model's logits in long doubles."""
    rows = model.logits(ids[:-1]).astype(np.longdouble)
    rows -= rows.max(-1, keepdims=True)
    rows -= np.log(np.exp(rows).sum(-1, keepdims=True))
    return rows[np.arange(len(rows)), ids[1:]].astype(np.float64)


def test_each_is_what_the_logits_say(infill_model: halfbyte.Model) -> None:
    encode = infill_model.tokenizer.encode
    alone, scores = encode(PROMPT), infill_model.score(PROMPT, CHOICES)
    for text, score in zip(CHOICES, scores, strict=True):
        whole = encode(PROMPT + text)
        n = len(whole) - len(score.tokens)
        assert whole[:n] == alone[:n] and score.tokens == whole[n:]
        assert n == len(alone) or whole[n] != alone[n]  # no token of the prompt's is scored
        wanted = log_probs(infill_model, whole)[n - 1 :]
        assert score.logprobs == pytest.approx(wanted.tolist(), abs=1e-12)
        assert score.logprob == pytest.approx(wanted.sum(), abs=1e-10)
        assert score.per_token == score.logprob / len(score.tokens)
        assert score.n_bytes == len((PROMPT + text).encode()) - len(
            infill_model.tokenizer.decode(whole[:n]).encode()
        )
        assert score.per_byte == score.logprob / score.n_bytes
    assert any(len(encode(PROMPT + t)) - len(s.tokens) < len(alone)
               for t, s in zip(CHOICES, scores, strict=True)), "no choice merges"  # fmt: skip


def test_others_beside_it_change_nothing(infill_model: halfbyte.Model) -> None:
    together = infill_model.score(PROMPT, CHOICES)
    assert [infill_model.score(PROMPT, one) for one in CHOICES] == together
    with halfbyte.load("infill-10m", threads=1, prompt_cache_bytes=0) as forgetful:
        assert forgetful.score(PROMPT, CHOICES * 10) == together * 10
    assert asyncio.run(infill_model.ascore(PROMPT, iter(CHOICES))) == together


def test_the_prompt_is_computed_once(infill_model: halfbyte.Model) -> None:
    prompt = infill_model.tokenizer.encode("y = 2\n" * 50)
    told: list[tuple[str, int, int]] = []
    with halfbyte.load("infill-10m", threads=1, prompt_cache_bytes=0) as forgetful:
        scores = forgetful.score(
            prompt, [[5, 6], [7], [8, 9, 10]], progress=lambda *news: told.append(news)
        )
    assert [len(score.tokens) for score in scores] == [2, 1, 3]
    firsts = {total: next(n for _, n, t in told if t == total) for _, _, total in told}
    n = len(prompt)
    assert set(firsts) == {n + 1, n, n + 2} and firsts[n + 2] == n + 2


def test_ids_and_the_greedy_way(infill_model: halfbyte.Model) -> None:
    done = infill_model.complete(PROMPT, max_tokens=5, heal=False)
    prompt = infill_model.tokenizer.encode(PROMPT)
    score = infill_model.score(prompt, done.tokens)
    assert isinstance(score, halfbyte.Score) and score.is_greedy
    assert score.tokens == done.tokens == infill_model.score(PROMPT, done.tokens).tokens
    assert not infill_model.score(prompt, [done.tokens[0], 5]).is_greedy
    assert infill_model.score(prompt, []) == []
    read = json.loads(json.dumps(score.to_dict()))
    assert read["per_byte"] == score.per_byte and read["logprob"] == score.logprob
    assert infill_model.score("", "import").tokens == infill_model.tokenizer.encode("import")[1:]


def test_scores_that_take_too_long_leave_nothing(infill_model: halfbyte.Model) -> None:
    with pytest.raises(halfbyte.RequestTimeoutError) as caught:
        infill_model.score(PROMPT, CHOICES * 20, timeout=1e-9)
    assert caught.value.completion is None


def test_perplexity_counts_the_second_half_of_each_window(infill_model: halfbyte.Model) -> None:
    text = "def f(x):\n    return x + 1\n\n" * 40
    tokenizer, window = infill_model.tokenizer, 33
    ids = tokenizer.encode(text)
    losses = []
    for begin in range(0, len(ids) - window + 1, window):
        part = [tokenizer.bos_id or 0, *ids[begin + 1 : begin + window]]
        losses += (-log_probs(infill_model, part)[window // 2 :]).tolist()
    found = infill_model.perplexity(text, window=window)
    n = len(losses)
    mean, square = np.mean(losses), np.mean(np.square(losses))
    assert found.n_tokens == n == found.n_windows * (window - window // 2 - 1)
    assert found.value == pytest.approx(math.exp(mean))
    error = math.exp(mean) * math.sqrt((square - mean**2) / (n - 1))
    assert found.standard_error == pytest.approx(error, rel=1e-6)
    assert asyncio.run(infill_model.aperplexity(text, window=window)) == found


def test_what_is_given_is_what_the_prompt_has_alone(infill_model: halfbyte.Model) -> None:
    asked = scored_prompt(infill_model.tokenizer, 512, "import nu", ["mpy", "\n", [5]])
    alone = infill_model.tokenizer.encode("import nu")
    assert asked.n_given[0] < len(alone) == asked.n_given[1] == asked.n_given[2]
    assert asked.texts[2] == [*alone, 5] and asked.is_list


BAD: list[tuple[Any, Any, str]] = [
    ("a", 3, "continuations"), ("a", None, "continuations"), ("a", "", "continuations"),
    ("a", ["b", ""], r"continuations\[1\]"), ("a", {"b"}, "continuations"),
    ([1], "b", "continuations"), ([1], [[10**6]], r"continuations\[0\]\[0\]"),
    ([], ["b"], "prompt"), (None, ["b"], "prompt"), ([10**6], [[1]], r"prompt\[0\]"),
    ("a", [[1] * 600], r"continuations\[0\]"),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "continuations", "name"), BAD)
def test_bad_scores(
    infill_model: halfbyte.Model, prompt: Any, continuations: Any, name: str
) -> None:
    with pytest.raises(halfbyte.RequestError, match=rf"^{name}: "):
        infill_model.score(prompt, continuations)


@pytest.mark.parametrize(
    ("text", "how", "name"),
    [(3, {}, "text"), ("a b", {}, "text"), ("a" * 999, {"window": 3}, "window"),
     ("a", {"window": 10**5000}, "window"), ("a", {"window": True}, "window"),
     ("ab " * 999, {"windw": 4}, "windw"), ("ab " * 99, {"window": 4, "timeout": -1}, "timeout")],
)  # fmt: skip
def test_bad_perplexities(
    infill_model: halfbyte.Model, text: Any, how: dict[str, Any], name: str
) -> None:
    with pytest.raises(halfbyte.RequestError, match=rf"^{name}: "):
        infill_model.perplexity(text, **how)
