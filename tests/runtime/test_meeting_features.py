"""Where two features of a call meet: both hold, or the call says that they do not go together."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.errors import RequestError

PROMPT = "def f(x):\n    return "


@pytest.mark.parametrize("how", [{}, {"temperature": 1.3, "seed": 5}, {"logprobs": 1}])
def test_what_is_banned_stays_banned_within_a_grammar(
    infill_model: halfbyte.Model, how: dict[str, Any]
) -> None:
    plain = infill_model.complete(PROMPT, regex="[ab ]+", max_tokens=12)
    banned = plain.text.strip()[:2] or plain.text[:2]
    done = infill_model.complete(
        PROMPT, regex="[ab ]+", banned_strings=[banned], max_tokens=12, **how
    )
    assert banned not in done.text and set(done.text) <= set("ab ")


@pytest.mark.parametrize("choice", ["foo bar", "foo"])
def test_a_forced_text_that_is_banned_ends_the_answer(
    infill_model: halfbyte.Model, choice: str
) -> None:
    done = infill_model.complete(PROMPT, choices=[choice], banned_strings=["foo"], max_tokens=9)
    assert "foo" not in done.text
    assert done.finish_reason == "banned" and not done.is_complete


@pytest.mark.parametrize("how", [{}, {"logprobs": 0}, {"n": 2, "best_of": 2}])
def test_a_forced_token_comes_though_it_is_biased_away(
    infill_model: halfbyte.Model, how: dict[str, Any]
) -> None:
    ids = infill_model.tokenizer.encode_fragment("yes")
    done = infill_model.complete(
        PROMPT, choices=["yes"], logit_bias=dict.fromkeys(ids, -math.inf), max_tokens=9, **how
    )
    for one in done if isinstance(done, list) else [done]:
        assert one.text == "yes" and one.is_complete


def test_a_processor_sees_each_token_once_beside_a_grammar(infill_model: halfbyte.Model) -> None:
    seen: list[int] = []

    def count(ids: Any, row: Any) -> None:
        seen.append(len(ids))

    for more in ({}, {"logprobs": 2, "logprobs_of": "sampler"}):
        seen.clear()
        done = infill_model.complete(
            PROMPT, regex="[a-z]+", logits_processor=count, max_tokens=8, temperature=1.0, seed=2,
            **more,
        )  # fmt: skip
        assert len(done.tokens) == 8 and len(set(seen)) == len(seen)


def test_an_echoed_prompt_ends_nothing(infill_model: halfbyte.Model) -> None:
    for how in ({"stop_brackets": True}, {"stop_indent": True}, {"stop": "\n"}):
        plain = infill_model.complete("print(1, (2", max_tokens=24, **how)
        echoed = infill_model.complete("print(1, (2", max_tokens=24, echo=True, **how)
        assert echoed.text == "print(1, (2" + plain.text
        assert echoed.finish_reason == plain.finish_reason
        stream = infill_model.stream("print(1, (2", max_tokens=24, echo=True, **how)
        assert "".join(stream) == echoed.text


def test_an_echoed_prompt_is_kept_by_syntax_and_grammars(infill_model: halfbyte.Model) -> None:
    plain = infill_model.complete("def f():\n", max_tokens=24, syntax="python")
    echoed = infill_model.complete("def f():\n", max_tokens=24, syntax="python", echo=True)
    assert echoed.text == "def f():\n" + plain.text
    done = infill_model.complete(PROMPT, choices=["yes", "no"], echo=True)
    assert done.is_complete and done.text in (PROMPT + "yes", PROMPT + "no")


def test_edits_ban_too(infill_model: halfbyte.Model) -> None:
    text = "import os\n\n\ndef f(x):\n    \n"
    plain = infill_model.edit("a.py", text, 26, format="fim", max_tokens=12)
    banned = plain.text.strip()[:3]
    assert banned
    done = infill_model.edit("a.py", text, 26, format="fim", max_tokens=12, banned_strings=[banned])
    assert banned not in done.text


REFUSED: dict[str, tuple[Callable[[halfbyte.Model], Any], str]] = {
    "score": (lambda m: m.score("a", ["b"], max_time=1), "max_time"),
    "perplexity": (lambda m: m.perplexity("abc", max_time=1), "max_time"),
    "syntax": (lambda m: m.complete("a", num_beams=2, syntax="python"), "syntax"),
    "dry": (lambda m: m.complete("a", num_beams=2, dry_multiplier=0.8), "dry_multiplier"),
    "window": (lambda m: m.complete("a", num_beams=2, penalty_window=8), "penalty_window"),
    "syntax, banned": (
        lambda m: m.complete("a", syntax="python", banned_strings=["b"]), "banned_strings",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together_is_refused(infill_model: halfbyte.Model, name: str) -> None:
    call, param = REFUSED[name]
    with pytest.raises(RequestError) as caught:
        call(infill_model)
    assert caught.value.param == param


def test_a_search_within_a_grammar_is_whole_or_says_that_it_is_not(
    infill_model: halfbyte.Model,
) -> None:
    for one in infill_model.complete(PROMPT, num_beams=3, n=3, choices=["one", "two", "three"]):
        assert one.text in ("one", "two", "three") and one.is_complete
    for one in infill_model.complete(PROMPT, num_beams=2, n=2, regex="[a-z]{40}", max_tokens=3):
        assert one.is_complete is False


def test_a_search_that_runs_out_of_time_says_so(infill_model: halfbyte.Model) -> None:
    done = infill_model.complete("a", num_beams=8, max_tokens=400, max_time=0.05)
    assert done.finish_reason == "time"


def test_a_chat_is_searched_as_a_chat(infill_model: halfbyte.Model) -> None:
    messages = [{"role": "user", "content": "hello"}]
    done = infill_model.chat(messages, num_beams=2, max_tokens=4, format="llama-2")
    assert isinstance(done, halfbyte.ChatCompletion)
    assert done.message["role"] == "assistant" and done.tool_calls == ()


def test_ranked_middles_are_not_those_that_were_remembered(infill_model: halfbyte.Model) -> None:
    plain = infill_model.infill("def add(a, b):\n    ret", "\n", max_tokens=8)
    ranked = infill_model.infill("def add(a, b):\n    ret", "\n", max_tokens=8, best_of=2)
    assert ranked.score is not None and plain.score is None
    (one,) = infill_model.infill("def add(a, b):\n    ret", "\n", max_tokens=8, n=1, best_of=1)
    assert one.text == plain.text
    assert infill_model.infill("def add(a, b):\n    ret", "\n", max_tokens=8).score is None


def test_a_rest_of_a_middle_ends_where_its_own_brackets_say(infill_model: halfbyte.Model) -> None:
    how: dict[str, Any] = {"stop_brackets": True, "max_tokens": 16}
    infill_model.infill("x = ", "\ny = 1\n", **how)
    for prefix in ("x = (", "x = foo(", "x = [1"):
        asked = infill_model.infill(prefix, "\ny = 1\n", **how)
        anew = infill_model.infill(prefix, "\ny = 1\n", reuse_answer=False, **how)
        assert asked.text == anew.text


def test_probabilities_are_those_of_what_was_echoed(infill_model: halfbyte.Model) -> None:
    done = infill_model.complete("a = 1\nb = ", echo=True, logprobs=0, prompt_logprobs=0)
    assert done.logprobs is not None and done.logprobs[0].logprob is None
    assert np.isfinite([one.logprob for one in done.logprobs[1:]]).all()
