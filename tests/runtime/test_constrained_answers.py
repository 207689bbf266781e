"""Answers that belong to a grammar, end to end: what they say, where they end, beside what else."""

from __future__ import annotations

import json
import threading
from typing import Any

import jsonschema
import numpy as np
import pydantic
import pytest

import halfbyte
from halfbyte.constraints.constraint import Constraint
from halfbyte.errors import RequestError, RequestTimeoutError

PROMPT = "animal = json.loads(' "
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "legs": {"type": "integer", "minimum": 0, "maximum": 99},
        "kind": {"enum": ["cat", "dog"]},
    },
    "required": ["name", "legs", "kind"],
    "additionalProperties": False,
}


def twin(model: halfbyte.Model, prompt: list[int], keywords: dict[str, Any], n: int) -> list[int]:
    """The same answer step by step: all logits anew, the tokens that may come one by one."""
    constraint, _ = Constraint.split(keywords)
    assert constraint is not None
    matcher = model._planner._maker.grammars.compiled(constraint).matcher()
    ids, stops = list(prompt), model.tokenizer.eog_ids
    while len(ids) < len(prompt) + n and not matcher.is_over:
        token = matcher.forced()
        if token is None:
            row = model.logits(ids)[-1]
            may = {i for i, is_allowed in enumerate(matcher.allowed_after([])) if is_allowed}
            may |= stops if matcher.is_complete else set()
            token = max(may, key=lambda i: (row[i], -i))
            if token in stops:
                break
        matcher.accept(token)
        ids.append(token)
    return ids[len(prompt) :]


ASKED: list[dict[str, Any]] = [
    {"json_schema": SCHEMA},
    {"json_schema": SCHEMA, "json_whitespace": True},
    {"regex": r"[a-z]+ = \d+(, \d+)*"},
    {"choices": ["return self", "return None", "returning"]},
    {"grammar": 'start: "(" start ")" | NAME\nNAME: /[a-z]{1,5}/'},
]


@pytest.mark.parametrize("keywords", ASKED)
def test_an_answer_is_the_twins_alone_and_beside_others(
    infill_model: halfbyte.Model, keywords: dict[str, Any]
) -> None:
    model, ids = infill_model, infill_model.tokenizer.encode(PROMPT)
    expected = twin(model, ids, keywords, 60)
    alone = model.complete(ids, max_tokens=60, **keywords)
    assert alone.tokens == expected
    # Each way to compute it gives the same: guesses, others in the batch, a remembered prompt.
    for more in ({"speculate": False}, {"prediction": alone.text}, {"lookup": [alone.text, "x"]}):
        assert model.complete(ids, max_tokens=60, **keywords, **more).tokens == expected, more
    done: list[Any] = []
    other = threading.Thread(
        target=lambda: done.append(model.complete(["import os", "x = "], max_tokens=60))
    )
    other.start()
    batch = model.complete([ids, "other", ids], max_tokens=60, **keywords)
    other.join()
    assert batch[0].tokens == batch[2].tokens == expected
    plain = model.complete(["import os", "x = "], max_tokens=60)
    assert [d.tokens for d in done[0]] == [d.tokens for d in plain]
    with model.stream(ids, max_tokens=60, **keywords) as stream:
        assert "".join(stream) == alone.text


@pytest.mark.parametrize("heal", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_drawn_answers_are_valid(infill_model: halfbyte.Model, heal: bool, seed: int) -> None:
    how: dict[str, Any] = {"temperature": 1.0, "seed": seed, "heal": heal, "max_tokens": 90}
    done = infill_model.complete(PROMPT, json_schema=SCHEMA, **how)
    assert done.is_complete == (done.finish_reason == "stop")
    if done.is_complete:
        jsonschema.validate(json.loads(done.text), SCHEMA)
    assert bool(done.healed) == heal
    again = infill_model.complete(PROMPT, json_schema=SCHEMA, speculate=False, **how)
    assert (again.text, again.tokens) == (done.text, done.tokens)


def test_what_was_taken_back_is_spelled_and_no_answer(infill_model: halfbyte.Model) -> None:
    """The prompt has "retu", so that the answer belongs to the grammar from "rn" on."""
    done = infill_model.complete("def f():\n    retu", regex=r"rn [a-z]+")
    assert done.healed and done.text.startswith("rn ") and done.is_complete
    spelled = infill_model.tokenizer.decode(done.tokens, strip_prefix_space=False)
    assert spelled == done.healed + done.text
    # And where nothing longer fits, the prompt's own tokens stay.
    done = infill_model.complete("def f():\n    retu", choices=["☃"])
    assert (done.text, done.is_complete) == ("☃", True)
    # A character's last bytes are not taken back.
    done = infill_model.complete("# ☃", choices=["a", "b"])
    assert done.text in ("a", "b") and done.is_complete


def test_cut_answers_say_so(infill_model: halfbyte.Model) -> None:
    whole = infill_model.complete(PROMPT, json_schema=SCHEMA)
    assert (whole.finish_reason, whole.is_complete) == ("stop", True)
    for n in range(len(whole.tokens)):
        done = infill_model.complete(PROMPT, json_schema=SCHEMA, max_tokens=n)
        assert (done.finish_reason, done.is_complete) == ("length", False)
        assert whole.text.startswith(done.text)
    n_left = infill_model.n_ctx - len(infill_model.tokenizer.encode("x" * 400))
    done = infill_model.complete("x" * 400, regex="(ab){1000}", max_tokens=1000, heal=False)
    assert (done.finish_reason, done.is_complete) == ("context", False)
    assert len(done.tokens) == n_left
    cut = infill_model.complete(PROMPT, json_schema=SCHEMA, stop='"legs"')
    assert (cut.finish_reason, cut.is_complete) == ("stop", False) and cut.text.endswith(",")
    ended = infill_model.complete("x", choices=["ab; c"], stop=";")
    assert (ended.text, ended.finish_reason, ended.is_complete) == ("ab", "stop", False)
    fits = infill_model.complete("x", choices=["ab", "ab; c"], stop=";", max_tokens=20)
    assert fits.is_complete and fits.text == "ab"
    assert infill_model.complete("x", max_tokens=2).is_complete is None


def test_an_answer_may_be_whole_at_its_last_token(infill_model: halfbyte.Model) -> None:
    n = len(infill_model.complete("x", regex="a{40}", max_tokens=100).tokens)
    done = infill_model.complete("x", regex="a{40}", max_tokens=n)
    assert (done.finish_reason, done.is_complete) == ("stop", True)
    open_end = infill_model.complete("x", regex="a+", max_tokens=1)
    assert (open_end.finish_reason, open_end.is_complete) == ("length", True)


def test_what_is_late_tells_what_there_is(infill_model: halfbyte.Model) -> None:
    with pytest.raises(RequestTimeoutError) as caught:
        infill_model.complete(PROMPT, regex="[a-z]{400}x", max_tokens=400, timeout=1e-6)
    assert caught.value.completion.is_complete is False


def test_forced_text_costs_no_steps(infill_model: halfbyte.Model) -> None:
    text = "def add(first, second):\n    return first + second\n"
    done = infill_model.complete("# adds\n", choices=[text], max_tokens=80)
    assert (done.text, done.is_complete, done.stats.n_drafted) == (text, True, 0)
    fixed = {"type": "object", "properties": {"a long name of a field": {"type": "boolean"}},
             "required": ["a long name of a field"], "additionalProperties": False}  # fmt: skip
    steps: list[tuple[str, int, int]] = []
    done = infill_model.complete("x", json_schema=fixed, heal=False,
                                 progress=lambda *told: steps.append(told))  # fmt: skip
    assert done.is_complete and len(done.tokens) > 8
    assert len([told for told in steps if told[0] == "decode"]) <= 3


def test_a_middle_and_its_probabilities(infill_model: halfbyte.Model) -> None:
    prefix, suffix = "x = [", "]\n"
    plain = infill_model.infill(prefix, suffix, regex=r"(\d+, ){3}\d+", order="psm")
    sure = infill_model.infill(prefix, suffix, regex=r"(\d+, ){3}\d+", order="psm", confidence=True)
    assert plain.is_complete and plain.tokens == sure.tokens
    assert plain.first_token_probability is None and sure.mean_probability is not None
    # The rest of an answer that was typed along is none to the same question.
    typed = infill_model.infill(
        prefix + plain.text[:2], suffix, regex=r"(\d+, ){3}\d+", order="psm"
    )
    assert typed.n_typed == 0 and typed.is_complete
    forced = infill_model.infill(prefix, suffix, choices=["1, 2, 3, 4"], confidence=True)
    assert forced.text == "1, 2, 3, 4" and forced.mean_probability is not None


class Animal(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    name: str = pydantic.Field(max_length=8)
    legs: int = pydantic.Field(ge=0, le=8)


def test_chat_and_classes(infill_model: halfbyte.Model) -> None:
    messages = [{"role": "user", "content": "A cat."}]
    done = infill_model.chat(messages, format="llama-2", json_schema=Animal, seed=5)
    assert done.is_complete and Animal.model_validate_json(done.text).legs in range(9)


def test_penalties_and_processors_change_what_may_come_alone(infill_model: halfbyte.Model) -> None:
    def loves_letters(ids: Any, row: Any) -> None:
        row[:] = 0
        row[[97 + 3, 98 + 3]] = 50.0, np.finfo(np.float32).max  # byte tokens of a and b

    done = infill_model.complete("x", regex="a{3}|c{4}", logits_processor=loves_letters, heal=False)
    assert (done.text, done.is_complete) == ("aaa", True)
    with pytest.raises(RequestError, match="regex: expected a token that the call's other"):
        infill_model.complete(
            "x", regex="[ab]c", heal=False,
            logits_processor=lambda ids, row: np.copyto(row, -np.inf, where=np.arange(8016) != 200),
        )  # fmt: skip
    done = infill_model.complete(
        "x", regex="[ab]{30}", frequency_penalty=2.0, presence_penalty=2.0, max_tokens=40
    )
    assert done.is_complete and {"a", "b"} == set(done.text)


def test_a_grammar_that_becomes_too_complex_ends_its_own_answer(
    infill_model: halfbyte.Model,
) -> None:
    ambiguous = 'start: start start start | "a" | "aa" | "aaa" | start "a"'
    try:
        done = infill_model.complete("x", grammar=ambiguous, max_tokens=60)
        assert done.is_complete is not None
    except RequestError as error:
        assert error.param == "grammar"
    assert infill_model.complete("x", max_tokens=2).tokens


def test_edits_have_a_format_of_their_own(infill_model: halfbyte.Model) -> None:
    with pytest.raises(RequestError, match="regex: expected nothing: the format says what an edit"):
        infill_model.edit("a.py", "x = 1\n", 3, regex="a+")


def test_a_draw_has_the_probabilities_of_what_may_come(infill_model: halfbyte.Model) -> None:
    """Of a, b and c with 0.5, 0.3 and 0.2, where c may not come."""

    def fixed(ids: Any, row: Any) -> None:
        row[:] = -np.inf
        row[[97 + 3, 98 + 3, 99 + 3]] = np.log([0.5, 0.3, 0.2])

    how: dict[str, Any] = {"logits_processor": fixed, "heal": False, "max_tokens": 1, "seed": 7}
    done = infill_model.complete(["x"] * 400, regex="[ab]+", temperature=1.0, **how)
    n = sum(d.text == "a" for d in done)
    assert {d.text for d in done} == {"a", "b"} and abs(n / 400 - 0.625) < 0.1  # four deviations


@pytest.mark.parametrize("of", ["model", "sampler"])
def test_probabilities_of_a_constrained_answer_change_nothing(
    infill_model: halfbyte.Model, of: Any
) -> None:
    asked: dict[str, Any] = {
        "choices": ["one", "two", "three"],
        "temperature": 1.5,
        "max_tokens": 9,
    }
    for seed in range(4):
        plain = infill_model.complete("def f", seed=seed, **asked)
        told = infill_model.complete("def f", seed=seed, logprobs=3, logprobs_of=of, **asked)
        assert told.tokens == plain.tokens and told.is_complete
        assert told.logprobs is not None and len(told.logprobs) == len(told.tokens)
        if of == "sampler":
            for one in told.logprobs:
                # What the grammar leaves, of which the answer's token is one.
                assert sum(np.exp(top.logprob) for top in one.top) <= 1 + 1e-9
                assert one.logprob is not None and one.logprob <= one.top[0].logprob
