"""What a caller says that an answer may repeat: checked, encoded, and without any effect on it."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.prompt.drafts import Drafts

CODE = "def area(width, height):\n    return width * height\n\n\ndef volume(width, depth):\n"


def test_texts_and_ids_become_ids(infill_model: halfbyte.Model) -> None:
    tokenizer = infill_model.tokenizer
    ids = tokenizer.encode_fragment(CODE)
    options = {"prediction": CODE, "lookup": [CODE, ids[:3], np.array(ids[3:])], "seed": 1}
    drafts, rest = Drafts.split(tokenizer, options)
    assert drafts == Drafts(ids, [ids, ids[:3], ids[3:]], speculate=True)
    assert rest == {"seed": 1} and len(options) == 3
    for lookup in (CODE, ids, (text for text in [CODE])):
        assert Drafts.split(tokenizer, {"lookup": lookup})[0].lookup == [ids]


@pytest.mark.parametrize("nothing", [{}, {"prediction": None, "lookup": None}])
def test_nothing_is_nothing(infill_model: halfbyte.Model, nothing: dict[str, Any]) -> None:
    assert Drafts.split(infill_model.tokenizer, nothing)[0] == Drafts(None, [], speculate=True)
    empty = {"prediction": "", "lookup": [], "speculate": False}
    assert Drafts.split(infill_model.tokenizer, empty)[0] == Drafts([], [], speculate=False)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prediction": 5}, "prediction"),
        ({"prediction": b"x"}, "prediction"),
        ({"prediction": [1, 10**9]}, "prediction[1]"),
        ({"prediction": [-1]}, "prediction[0]"),
        ({"prediction": ["x"]}, "prediction"),
        ({"lookup": 5}, "lookup"),
        ({"lookup": {"a": "b"}}, "lookup"),
        ({"lookup": ["x", 5.5]}, "lookup[1]"),
        ({"lookup": ["x", [10**9]]}, "lookup[1][0]"),
        ({"speculate": "no"}, "speculate"),
        ({"speculate": None}, "speculate"),
    ],
)
def test_odd_values(infill_model: halfbyte.Model, options: dict[str, Any], param: str) -> None:
    for call in (
        lambda: infill_model.complete(CODE, **options),
        lambda: infill_model.stream_infill(CODE, "", **options),
        lambda: infill_model.chat([{"role": "user", "content": "x"}], **options),
        lambda: infill_model.edit("a.py", CODE, 3, **options),
        lambda: asyncio.run(infill_model.acomplete(CODE, **options)),
    ):
        with pytest.raises(halfbyte.RequestError) as caught:
            call()
        assert caught.value.param == param


def test_lone_surrogates_are_refused(infill_model: halfbyte.Model) -> None:
    with pytest.raises(halfbyte.TokenizerError):
        infill_model.complete(CODE, prediction="\ud800")


@pytest.mark.parametrize("prompt", [CODE, CODE[:-3]])  # the second is healed
@pytest.mark.parametrize("params", [{}, {"temperature": 0.9, "seed": 4, "top_p": 0.95}])
def test_an_answer_is_the_same_whatever_is_predicted(
    infill_model: halfbyte.Model, prompt: str, params: dict[str, Any]
) -> None:
    plain = infill_model.complete(prompt, max_tokens=40, speculate=False, **params)
    assert (plain.stats.n_drafted, plain.stats.n_accepted) == (0, 0)
    for more in ({}, {"prediction": plain.text}, {"lookup": ["x = 1", plain.text]}):
        same = infill_model.complete(prompt, max_tokens=40, **more, **params)
        assert (same.text, same.tokens) == (plain.text, plain.tokens)
        assert same.stats.n_accepted <= same.stats.n_drafted
    streamed = infill_model.stream(prompt, max_tokens=40, prediction=plain.text, **params)
    assert "".join(streamed) == plain.text


def test_a_prompt_of_a_list_has_the_answer_that_it_has_alone(infill_model: halfbyte.Model) -> None:
    prompts = [CODE, "import os\n", CODE + "    return "]
    together = infill_model.complete(prompts, max_tokens=24, lookup=CODE)
    for prompt, one in zip(prompts, together, strict=True):
        assert one.tokens == infill_model.complete(prompt, max_tokens=24, speculate=False).tokens
