"""What comes of a beam search: texts that stop, probabilities, middles, what has to be."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from scripted import Caller

import halfbyte
from halfbyte.generation.beams.beam_answers import beam_request
from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.probabilities import Probabilities
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.recorder import Recording
from halfbyte.generation.running_batch import RunningBatch

PROMPT = "import numpy as np\n\n\ndef mean(x):\n    return"
HOW: dict[str, Any] = {"num_beams": 4, "n": 4, "max_tokens": 8}
GROUPS: dict[str, Any] = {"num_beam_groups": 2, "diversity_penalty": 0.5}


@pytest.mark.parametrize("stop", ["ea", "n(x)"])  # within a token, and across some
@pytest.mark.parametrize("more", [{}, GROUPS])
def test_a_stop_text_ends_an_answer(
    infill_model: halfbyte.Model, more: dict[str, Any], stop: str
) -> None:
    found = infill_model.complete(PROMPT, stop=stop, **HOW, **more)
    assert all(stop not in one.text for one in found)
    ended = [one for one in found if one.finish_reason == "stop"]
    assert ended
    for one in ended:
        said = infill_model.tokenizer.decode(one.tokens, strip_prefix_space=False)
        before = infill_model.tokenizer.decode(one.tokens[:-1], strip_prefix_space=False)
        assert said.partition(stop)[0] == one.text and stop in said and stop not in before
    beside = infill_model.complete([PROMPT, "x"], stop=stop, **HOW, **more)[0]
    assert [(one.text, one.score) for one in beside] == [(one.text, one.score) for one in found]


def test_answers_tell_what_ended_them(infill_model: halfbyte.Model) -> None:
    found = infill_model.complete(PROMPT, stop=["n(x)", "\n"], **HOW)
    stopped = [one for one in found if one.finish_reason == "stop"]
    assert stopped and all(one.stop_text in ("n(x)", "\n") for one in stopped)
    assert all(not one.stop_text for one in found if one.finish_reason == "length")


@pytest.mark.parametrize("seconds", [0.0, 1e-3])  # the latter is not over when texts are made
def test_lines_end_when_their_time_is_over(infill_model: halfbyte.Model, seconds: float) -> None:
    found = infill_model.complete(PROMPT, line_time=seconds, **{**HOW, "max_tokens": 24})
    late = [one for one in found if one.finish_reason == "time"]
    assert late and all(one.text.count("\n") > 1 for one in late)


def test_ends_of_code_end_branches(infill_model: halfbyte.Model) -> None:
    how: dict[str, Any] = {**HOW, "max_tokens": 24}
    found = infill_model.complete("def f(x):\n    y = g(", stop_brackets="behind", **how)
    assert any(one.finish_reason == "stop" and one.text.endswith(")") for one in found)
    prompt = "def f(x):\n    return x\n\n\ndef g(y):\n    return"
    for one in infill_model.complete(prompt, stop_indent=True, **how):
        assert "\ndef" not in one.text


def test_a_chat_stops_too(infill_model: halfbyte.Model) -> None:
    messages = [{"role": "user", "content": "import os"}]
    how: dict[str, Any] = {**HOW, "format": "llama-2"}
    stop = infill_model.chat(messages, **how)[0].text.strip()[:2]
    assert all(stop not in one.text for one in infill_model.chat(messages, stop=stop, **how))


def test_probabilities_are_those_of_score(infill_model: halfbyte.Model) -> None:
    plain = infill_model.complete(PROMPT, **HOW)
    found = infill_model.complete(PROMPT, logprobs=3, **HOW)
    assert [one.tokens for one in found] == [one.tokens for one in plain]
    ids = infill_model.tokenizer.encode(PROMPT)
    for one, unasked in zip(found, plain, strict=True):
        assert one.logprobs is not None and unasked.logprobs is None
        assert [told.token for told in one.logprobs] == one.tokens
        scored = infill_model.score(ids, one.tokens).logprobs
        assert [told.logprob for told in one.logprobs] == scored
        drawn = infill_model.complete([*ids, *one.tokens[:2]], logprobs=3, max_tokens=1)
        assert drawn.logprobs is not None and drawn.logprobs[0].top == one.logprobs[2].top
        assert one.text[one.logprobs[1].offset :].encode().startswith(one.logprobs[1].bytes)


def test_those_of_the_search_add_up_to_its_scores(infill_model: halfbyte.Model) -> None:
    how: dict[str, Any] = {**HOW, "repetition_penalty": 1.3, "logprobs": 1}
    found = infill_model.complete(PROMPT, logprobs_of="sampler", **how)
    for one in found:
        assert one.finish_reason == "length" and one.logprobs is not None
        total = sum(told.logprob or 0 for told in one.logprobs)
        assert one.score == pytest.approx(total / len(one.tokens), rel=1e-12)
    model = infill_model.complete(PROMPT, **how)
    assert [one.tokens for one in model] == [one.tokens for one in found]
    assert [one.logprobs for one in model] != [one.logprobs for one in found]


def test_those_of_the_prompt_are_an_answers(infill_model: halfbyte.Model) -> None:
    drawn = infill_model.complete(PROMPT, heal=False, logprobs=1, echo=True, max_tokens=1)
    how: dict[str, Any] = {"num_beams": 3, "logprobs": 1, "echo": True, "max_tokens": 1}
    for _ in range(2):
        found = infill_model.complete(PROMPT, **how)
        assert found.prompt_logprobs == drawn.prompt_logprobs and found.text == drawn.text
        assert found.logprobs == drawn.logprobs and found.tokens == drawn.tokens


@pytest.mark.parametrize("n_steps", [1, 2, 4])
def test_what_was_given_up_has_the_same_ones(infill_model: halfbyte.Model, n_steps: int) -> None:
    model = infill_model
    wanted = model.complete(PROMPT, logprobs=2, prompt_logprobs=0, stop=")", **HOW)
    request = beam_request(
        model.tokenizer, model.tokenizer.encode(PROMPT),
        SamplingParams(max_tokens=8, stop=(")",)), model.n_ctx, Beams(num_beams=4),
        recording=Recording.of(Probabilities(logprobs=2, prompt_logprobs=0)),
    )  # fmt: skip
    caller: Any = Caller
    caller(request)
    batch = RunningBatch(model.engine, PromptMemory(model.engine))  # while the scheduler is idle
    batch.add(request)
    for _ in range(n_steps):
        batch.step()
    batch._preempt(request)
    while not batch.is_idle:
        batch.step()
    for one, other in zip(request.result(), wanted, strict=True):
        assert (one.tokens, one.text, one.score) == (other.tokens, other.text, other.score)
        assert one.logprobs == other.logprobs and one.prompt_logprobs == other.prompt_logprobs


def test_middles_are_searched(infill_model: halfbyte.Model) -> None:
    prefix, suffix = "def add(a, b):\n    return ", "\n\n\nprint(add(1, 2))\n"
    how: dict[str, Any] = {"num_beams": 3, "max_tokens": 12}
    found = infill_model.infill(prefix, suffix, n=3, logprobs=0, **how)
    assert [one.score for one in found] == sorted((one.score or 0 for one in found), reverse=True)
    assert len({tuple(one.tokens) for one in found}) == 3
    for one in found:
        assert one.full_text == prefix + one.text + suffix and one.healed == "" and one.logprobs
    assert infill_model.infill(prefix, suffix, **how).text == found[0].text
    lines = infill_model.infill(prefix, suffix, n=3, single_line=True, **how)
    assert all("\n" not in one.text.strip() for one in lines)
    assert any(one.finish_reason == "stop" for one in lines)
    greedy = infill_model.infill(prefix, suffix, heal=False, max_tokens=1)
    (best,) = infill_model.infill(prefix, suffix, n=1, num_beams=2, max_tokens=1)
    assert best.tokens == greedy.tokens


def test_what_a_middles_end_repeats_is_cut(infill_model: halfbyte.Model) -> None:
    prefix, suffix = "x = [1, 2, 3]\nprint(", "x)\n"
    how: dict[str, Any] = {"num_beams": 4, "n": 4, "single_line": True, "max_tokens": 8}
    plain = infill_model.infill(prefix, suffix, trim_suffix=False, **how)
    found = infill_model.infill(prefix, suffix, **how)
    assert [one.text + one.trimmed for one in found] == [one.text for one in plain]
    assert any(one.trimmed == "x)" for one in found) and not any(one.trimmed for one in plain)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"min_confidence": 0.5}, "min_confidence"), ({"confidence": True}, "confidence"),
        ({"syntax": "python"}, "syntax"), ({"temperature": 0.5}, "temperature"),
    ],
)  # fmt: skip
def test_middles_that_are_refused(
    infill_model: halfbyte.Model, given: dict[str, Any], name: str
) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.infill("a", "b", num_beams=2, **given)
    assert caught.value.param == name


SCHEMA: dict[str, Any] = {
    "type": "object", "additionalProperties": False, "required": ["ok", "kind"],
    "properties": {"ok": {"type": "boolean"}, "kind": {"enum": ["a", "b", "c"]}},
}  # fmt: skip
CONSTRAINTS: dict[str, dict[str, Any]] = {
    "json_schema": {"json_schema": SCHEMA},
    "regex": {"regex": "[a-c]{2}=[0-9]{2}"},
    "grammar": {"grammar": 'start: "if " NAME ":"\nNAME: /[a-z]{1,3}/'},
    "choices": {"choices": ["one", "two", "three"]},
}


def is_met(kind: str, text: str) -> bool:
    import re

    if kind == "json_schema":
        jsonschema.validate(json.loads(text), SCHEMA)
        return True
    if kind == "choices":
        return text in CONSTRAINTS[kind]["choices"]
    pattern = CONSTRAINTS[kind].get("regex", "if [a-z]{1,3}:")
    return re.fullmatch(pattern, text) is not None


@pytest.mark.parametrize("kind", CONSTRAINTS)
@pytest.mark.parametrize("search", [{"num_beams": 3}, {"num_beams": 4, **GROUPS}, {}])
def test_what_answers_have_to_be_they_are_or_say_that_they_are_cut(
    infill_model: halfbyte.Model, kind: str, search: dict[str, Any]
) -> None:
    """Of beams, and of drawn candidates."""
    how = CONSTRAINTS[kind] | (search or {"temperature": 1.0, "seed": 1})
    found = infill_model.complete(PROMPT, n=3, max_tokens=40, **how)
    assert not search or len({tuple(one.tokens) for one in found}) > 1
    for one in found:
        assert one.is_complete and is_met(kind, one.text), one
    for one in infill_model.complete(PROMPT, n=2, max_tokens=1, **how):
        assert one.is_complete is (one.text in CONSTRAINTS[kind].get("choices", ()))
    for one in infill_model.infill("x = ", "\n", n=2, max_tokens=40, **how):
        assert one.is_complete and is_met(kind, one.text), one
