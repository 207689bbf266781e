"""Samplers, biases, bans and ends in every call of a model, alone and beside others."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.errors import RequestError, RequestTimeoutError

CODE = "import numpy as np\n\ndef "
SAMPLERS: list[dict[str, Any]] = [
    {"typical_p": 0.7}, {"top_n_sigma": 1.0}, {"xtc_probability": 0.5, "xtc_threshold": 0.05},
    {"dynatemp_range": 0.5}, {"mirostat": 1}, {"mirostat": 2, "mirostat_tau": 3.0},
    {"adaptive_target": 0.3}, {"dry_multiplier": 1.0, "dry_window": None},
    {"penalty_window": 8, "repetition_penalty": 1.3},
    {"samplers": "top_k;typ_p;temperature", "top_k": 20, "typical_p": 0.9},
]  # fmt: skip


@pytest.fixture(scope="module")
def alone(infill_model: halfbyte.Model) -> list[list[int]]:
    """What each sampler gives by itself, without guesses."""
    how: dict[str, Any] = {"temperature": 1.0, "seed": 4, "max_tokens": 12, "speculate": False}
    return [infill_model.complete(CODE, **how, **given).tokens for given in SAMPLERS]


def test_samplers_change_what_is_drawn(alone: list[list[int]]) -> None:
    assert len({tuple(tokens) for tokens in alone}) >= 6


def test_the_same_bits_beside_others(infill_model: halfbyte.Model, alone: list[list[int]]) -> None:
    """All at once, each with guesses from the others' text."""
    how: dict[str, Any] = {"temperature": 1.0, "seed": 4, "max_tokens": 12, "lookup": CODE * 3}

    async def together() -> list[list[int]]:
        calls = [infill_model.acomplete(CODE, **how, **given) for given in SAMPLERS]
        return [done.tokens for done in await asyncio.gather(*calls)]

    assert asyncio.run(together()) == alone


@pytest.mark.parametrize(
    "given",
    [
        {"logit_bias": {" self": 50.0}}, {"bad_words": ["array", "dtype"]}, {"min_tokens": 6},
        {"banned_strings": ["dtype", "("]},
    ],
)  # fmt: skip
def test_every_call_takes_them(
    infill_model: halfbyte.Model, tiny_gguf: Path, given: dict[str, Any]
) -> None:
    how: dict[str, Any] = {"max_tokens": 8, **given}
    done = infill_model.complete(CODE, **how)
    assert "".join(infill_model.stream(CODE, **how)) == done.text
    assert asyncio.run(infill_model.acomplete(CODE, **how)).text == done.text
    middle = infill_model.infill(CODE, "\n\nx = 1", **how)
    assert "".join(infill_model.stream_infill(CODE, "\n\nx = 1", **how)) == middle.text
    assert asyncio.run(infill_model.ainfill(CODE, "\n\nx = 1", **how)).text == middle.text
    edit = infill_model.edit("a.py", f"{CODE}\n", len(CODE), format="fim", **how)
    for text in (done.text, middle.text, edit.text):
        assert not any(ban in text for ban in given.get("banned_strings", ()))
    if "logit_bias" in given:
        assert " self self" in done.text and "self self" in middle.text
    bad = given.get("bad_words", ())
    assert not any(word in done.text for word in bad)
    if "logit_bias" in given:
        how["logit_bias"] = {7: 50.0}
    with halfbyte.load(tiny_gguf) as model:
        messages = [{"role": "user", "content": "ab"}]
        said = model.chat(messages, format="llama-2", temperature=0, **how)
        if "min_tokens" in given:
            assert len(said.tokens) >= 6
        if "logit_bias" in given:
            assert said.tokens == [7] * 8


def test_biases_forbid(infill_model: halfbyte.Model) -> None:
    first = infill_model.complete(CODE, max_tokens=1).tokens[0]
    done = infill_model.complete(CODE, max_tokens=1, logit_bias={first: -math.inf})
    assert done.tokens != [first]  # though it spells the prompt's end anew
    word = infill_model.complete(CODE, max_tokens=1, bad_words=[[first]])
    assert word.tokens == done.tokens
    ends = {token: 1000.0 for token in infill_model.tokenizer.eog_ids}
    assert infill_model.complete(CODE, logit_bias=ends, heal=False).tokens == []
    least = infill_model.complete(CODE, logit_bias=ends, min_tokens=3, max_tokens=9, heal=False)
    assert (len(least.tokens), least.finish_reason) == (3, "stop")


def test_a_middle_ends_where_its_block_does(infill_model: halfbyte.Model) -> None:
    prefix, suffix = "def f(a):\n    for i in a:\n        ", "\n\nf([1])\n"
    how: dict[str, Any] = {"max_tokens": 40, "reuse_answer": False}
    whole = infill_model.infill(prefix, suffix, trim_suffix=False, **how).text
    done = infill_model.infill(prefix, suffix, stop_indent=True, **how)
    lines = done.text.split("\n")[1:]
    assert all(line.startswith(" " * 8) or not line.strip() for line in lines)
    assert whole.startswith(done.text) or done.trimmed
    four = infill_model.infill(prefix, suffix, stop_indent=4, **how)
    assert four.text.startswith(done.text)


def test_a_completion_ends_where_a_bracket_closes(infill_model: halfbyte.Model) -> None:
    prompt = "import numpy as np\n\nx = np.zeros("
    plain = infill_model.complete(prompt, max_tokens=30)
    assert ")" in plain.text
    done = infill_model.complete(prompt, max_tokens=30, stop_brackets=True)
    assert done.finish_reason == "stop" and f"{done.text})" == plain.text[: len(done.text) + 1]
    behind = infill_model.complete(prompt, max_tokens=30, stop_brackets="behind")
    assert behind.text == f"{done.text})"
    ids = infill_model.tokenizer.encode("if x:\n    y = 1")
    given = infill_model.complete(ids, max_tokens=40, stop_indent=True)
    assert all(line.startswith("    ") or not line.strip() for line in given.text.split("\n")[1:])


def test_time_is_over(infill_model: halfbyte.Model) -> None:
    slow = lambda ids, row: time.sleep(0.005)  # noqa: E731  # a full context takes seconds
    endless: dict[str, Any] = {
        "max_tokens": 10**6, "min_tokens": 10**6, "max_time": 0.1, "logits_processor": slow,
    }  # fmt: skip
    done = infill_model.complete(CODE, **endless)
    assert done.finish_reason == "time" and done.text and done.tokens
    full = infill_model.complete(CODE, max_tokens=len(done.tokens), min_tokens=len(done.tokens))
    assert full.tokens == done.tokens and full.text.startswith(done.text)
    stream = infill_model.stream(CODE, **endless)
    assert "".join(stream) == stream.result().text
    assert stream.result().finish_reason == "time"
    several = infill_model.complete([CODE, "a"], **endless)
    assert [one.finish_reason for one in several] == ["time", "time"]
    assert asyncio.run(infill_model.acomplete(CODE, **endless)).finish_reason == "time"
    quick = infill_model.complete(CODE, max_tokens=2, max_time=60)
    assert quick.finish_reason == "length"
    with pytest.raises(RequestTimeoutError):
        infill_model.complete(CODE, **{**endless, "timeout": 0.05})
    late = infill_model.complete(CODE, **{**endless, "timeout": 60})
    assert late.finish_reason == "time"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"logit_bias": {"no such token, surely": 1}}, "logit_bias"),
        ({"min_tokens": 9}, "min_tokens"),
        ({"bad_words": [[]]}, "bad_words"), ({"banned_strings": ""}, "banned_strings"),
        ({"stop_indent": -1}, "stop_indent"), ({"stop_brackets": "x"}, "stop_brackets"),
        ({"max_time": 0}, "max_time"), ({"max_time": math.nan}, "max_time"),
        ({"mirostat": 3}, "mirostat"), ({"samplers": ["x"]}, "samplers"),
        ({"banned_string": "x"}, "banned_string"),
    ],
)  # fmt: skip
def test_bad_values(infill_model: halfbyte.Model, given: dict[str, Any], param: str) -> None:
    for call in (
        lambda: infill_model.complete("a", max_tokens=3, **given),
        lambda: infill_model.stream("a", max_tokens=3, **given),
        lambda: infill_model.infill("a", "b", max_tokens=3, **given),
    ):
        with pytest.raises(RequestError) as caught:
            call()
        assert caught.value.param == param


def test_names_that_are_nearly_right(infill_model: halfbyte.Model) -> None:
    with pytest.raises(RequestError, match="did you mean banned_strings"):
        infill_model.complete("a", banned_string="x")  # type: ignore[call-overload]


def test_a_chat_has_no_cursor(tiny_gguf: Path, infill_model: halfbyte.Model) -> None:
    with halfbyte.load(tiny_gguf) as model, pytest.raises(RequestError, match="stop_indent"):
        model.chat([{"role": "user", "content": "a"}], format="llama-2", stop_indent=True)
    with pytest.raises(RequestError, match="stop_brackets"):
        infill_model.edit("a.py", "x", 1, format="fim", stop_brackets=True)
