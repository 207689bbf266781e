"""Log-probabilities are those of the model's logits, or of the draw, whatever the way there."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.probabilities import MAX_TOP, Probabilities, TokenLogprob
from halfbyte.generation.recorder import Recording
from halfbyte.generation.records import Records
from halfbyte.generation.sampler import Sampler

PROMPT = "import numpy as np\n\ndef add(a, b):\n    ret"


def log_softmax(row: np.ndarray) -> np.ndarray:
    """A twin in long doubles."""
    x = row.astype(np.longdouble)
    return np.asarray((x - x.max()) - np.log(np.exp(x - x.max()).sum()), np.float64)


def expected(
    model: halfbyte.Model, prompt: list[int], tokens: list[int], k: int
) -> list[tuple[float, list[int]]]:
    """Of each token, its log-probability and the ids of the k likeliest."""
    rows = model.logits([*prompt, *tokens][:-1])[len(prompt) - 1 :]
    logs = [log_softmax(row) for row in rows]
    return [
        (float(log[token]), np.argsort(-log, kind="stable")[:k].tolist())
        for log, token in zip(logs, tokens, strict=True)
    ]


def check(told: Any, wanted: list[tuple[float, list[int]]]) -> None:
    assert [one.logprob for one in told] == pytest.approx([w[0] for w in wanted], abs=1e-12)
    assert [[top.token for top in one.top] for one in told] == [w[1] for w in wanted]


@pytest.fixture(scope="module")
def healed(infill_model: halfbyte.Model) -> halfbyte.Completion:
    return infill_model.complete(PROMPT, max_tokens=8, logprobs=3, prompt_logprobs=2)


def test_they_are_the_models_of_healed_and_later_tokens(
    infill_model: halfbyte.Model, healed: halfbyte.Completion
) -> None:
    assert healed.healed and healed.logprobs is not None and healed.prompt_logprobs is not None
    prompt = [one.token for one in healed.prompt_logprobs]
    assert [one.token for one in healed.logprobs] == healed.tokens
    check(healed.logprobs, expected(infill_model, prompt, healed.tokens, 3))
    check(healed.prompt_logprobs[1:], expected(infill_model, prompt[:1], prompt[1:], 2))
    assert healed.prompt_logprobs[0].logprob is None and not healed.prompt_logprobs[0].top


def test_offsets_lead_to_the_tokens_texts(healed: halfbyte.Completion) -> None:
    assert healed.logprobs is not None and healed.prompt_logprobs is not None
    for one in healed.logprobs:
        text = PROMPT + healed.text
        begin = len(PROMPT) + one.offset
        assert text[begin : begin + len(one.bytes)] == one.bytes.decode()
    assert healed.logprobs[0].offset == -len(healed.healed)
    told = [one for one in healed.prompt_logprobs if one.bytes]
    assert [PROMPT[one.offset :][: len(one.bytes)].encode() for one in told[1:]] == [
        one.bytes for one in told[1:]
    ]
    assert told[0].offset == 0


def test_nothing_else_changes_them(
    infill_model: halfbyte.Model, healed: halfbyte.Completion
) -> None:
    how: dict[str, Any] = {"max_tokens": 8, "logprobs": 3}
    guessed = infill_model.complete(PROMPT, prediction=healed.text, **how)
    assert guessed.logprobs == healed.logprobs and guessed.tokens == healed.tokens
    beside = infill_model.complete(["x = 1", PROMPT], prompt_logprobs=2, **how)
    assert beside[1].logprobs == healed.logprobs
    assert beside[1].prompt_logprobs == healed.prompt_logprobs
    several = infill_model.complete(PROMPT, n=2, prompt_logprobs=2, **how)
    assert [one.prompt_logprobs for one in several] == [healed.prompt_logprobs] * 2
    assert [one.logprobs for one in several] == [healed.logprobs] * 2
    plain = infill_model.complete(PROMPT, max_tokens=8)
    assert plain.tokens == healed.tokens and plain.logprobs is plain.prompt_logprobs is None


def test_after_the_samplers_they_are_the_draws(infill_model: halfbyte.Model) -> None:
    prompt = infill_model.tokenizer.encode("x = ")
    drawn = infill_model.complete(
        prompt, temperature=0.7, top_k=3, presence_penalty=1.0, seed=4, max_tokens=6,
        logprobs=5, logprobs_of="sampler",
    )  # fmt: skip
    assert drawn.logprobs is not None
    rows = infill_model.logits([*prompt, *drawn.tokens])[len(prompt) - 1 :]
    for i, one in enumerate(drawn.logprobs):
        row = rows[i].copy()
        row[list(set(drawn.tokens[:i]))] -= 1
        kept = np.argsort(-row, kind="stable")[:3]
        logs = log_softmax(row[kept].astype(np.float64) / 0.7)
        assert [top.token for top in one.top] == kept.tolist()
        assert [top.logprob for top in one.top] == pytest.approx(logs.tolist(), abs=1e-12)
        assert one.logprob == dict((top.token, top.logprob) for top in one.top)[one.token]
    certain = infill_model.complete(prompt, max_tokens=2, logprobs=2, logprobs_of="sampler")
    assert certain.logprobs is not None
    assert [(o.logprob, [t.token for t in o.top]) for o in certain.logprobs] == [
        (0.0, [token]) for token in certain.tokens
    ]


def test_an_echo_begins_with_the_prompt(
    infill_model: halfbyte.Model, healed: halfbyte.Completion
) -> None:
    echoed = infill_model.complete(PROMPT, max_tokens=8, logprobs=3, echo=True)
    assert echoed.text == PROMPT + healed.text and echoed.logprobs is not None
    assert [one.token for one in echoed.logprobs] == echoed.tokens
    assert echoed.tokens[-len(healed.tokens) :] == healed.tokens
    for one in echoed.logprobs[2:]:
        assert echoed.text[one.offset : one.offset + len(one.bytes)].encode() == one.bytes
    only = infill_model.complete(PROMPT, max_tokens=0, logprobs=1, echo=True)
    assert only.text == PROMPT and only.logprobs is not None and only.finish_reason == "length"
    ids = infill_model.tokenizer.encode(PROMPT)
    assert [one.token for one in only.logprobs] == only.tokens == ids
    check(only.logprobs[1:], expected(infill_model, ids[:1], ids[1:], 1))
    assert infill_model.complete(ids, max_tokens=0, echo=True).text == PROMPT
    assert "".join(infill_model.stream("a", echo=True, max_tokens=2)).startswith("a")


def test_parts_of_a_character_have_its_place(infill_model: halfbyte.Model) -> None:
    text = "é€x"
    ids = infill_model.tokenizer.encode(text)
    told = infill_model.complete(ids, max_tokens=0, prompt_logprobs=0).prompt_logprobs
    assert told is not None
    begins = [text.encode().decode(errors="ignore").index(c) for c in text for _ in c.encode()]
    at = 0
    for one in told:
        piece = one.bytes[1:] if at == 0 and one.bytes.startswith(b" ") else one.bytes
        if piece:
            assert one.offset == begins[at]
            at += len(piece)
    assert at == len(text.encode())


def test_a_stream_tells_those_so_far(
    infill_model: halfbyte.Model, healed: halfbyte.Completion
) -> None:
    with infill_model.stream(PROMPT, max_tokens=8, logprobs=3) as stream:
        next(stream)
        some = stream.logprobs
        assert some and healed.logprobs is not None and some == healed.logprobs[: len(some)]
        assert stream.result().logprobs == healed.logprobs == stream.logprobs

    async def aloud() -> list[TokenLogprob] | None:
        stream = infill_model.astream(PROMPT, max_tokens=8, logprobs=3)
        assert stream.logprobs is None
        await stream.result()
        return stream.logprobs

    assert asyncio.run(aloud()) == healed.logprobs


def test_those_of_tokens_that_were_taken_back_are_told_no_more(
    infill_model: halfbyte.Model,
) -> None:
    tokenizer = infill_model.tokenizer
    sampler = Sampler(SamplingParams(), tokenizer.n_vocab, [1])
    records = Records(Recording.of(Probabilities(logprobs=0)), tokenizer, sampler, 1)

    def told(*tokens: int) -> list[int]:
        return [one.token for one in records.told_of_answer([1], tokens, b"") or ()]

    for token in (300, 301):
        records.take_raw(None, token)
    assert told(300, 301) == [300, 301]
    records.rewind(1)
    records.take_raw(None, 302)
    assert told(300, 302) == [300, 302]
    # A caller's thread may have looked at the tokens before, and ask after they were taken back.
    records.rewind(1)
    assert told(300, 302, 303)[:1] == [300]
    for token in (304, 305):
        records.take_raw(None, token)
    assert told(300, 302, 303) == [300, 302, 303]
    assert told(300, 304, 305) == [300, 304, 305]


def test_a_middle_that_is_known_has_none_so_it_is_computed(infill_model: halfbyte.Model) -> None:
    first = infill_model.infill("import nu", "\nx = 1\n", max_tokens=4)
    again = infill_model.infill("import nu", "\nx = 1\n", max_tokens=4, logprobs=0)
    assert again.text == first.text and again.logprobs is not None
    assert len(again.logprobs) == len(again.tokens)


def test_they_can_be_written_as_json(healed: halfbyte.Completion) -> None:
    read = json.loads(json.dumps(healed.to_dict()))
    assert healed.logprobs is not None
    assert bytes(read["logprobs"][0]["bytes"]) == healed.logprobs[0].bytes
    assert read["logprobs"][0]["top"][0]["token"] == healed.logprobs[0].top[0].token


@pytest.mark.parametrize("name", ["logprobs", "prompt_logprobs"])
@pytest.mark.parametrize(
    "value", [-1, MAX_TOP + 1, 1.5, True, "2", math.nan, pytest.param(10**5000, id="huge")]
)
def test_bad_numbers(name: str, value: Any) -> None:
    with pytest.raises(halfbyte.RequestError, match=f"^{name}: expected a whole number from 0"):
        Probabilities.split({name: value})


@pytest.mark.parametrize(("name", "value"), [("logprobs_of", "raw"), ("echo", "yes")])
def test_bad_choices(name: str, value: Any) -> None:
    with pytest.raises(halfbyte.RequestError, match=f"^{name}: "):
        Probabilities.split({name: value})


def test_only_a_text_is_echoed(infill_model: halfbyte.Model) -> None:
    for call in (infill_model.infill, infill_model.stream_infill):
        with pytest.raises(halfbyte.RequestError, match=r"^echo: expected False"):
            call("a", "b", echo=True)
    with pytest.raises(halfbyte.RequestError, match=r"^echo: expected False"):
        infill_model.edit("a.py", "x = 1\n", 0, echo=True)
