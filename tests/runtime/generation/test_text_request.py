"""Stops and limits of a request, with an engine that plays back a script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import ScriptedEngine, batch_of, request_of

from halfbyte.generation.completion import Stats
from halfbyte.generation.text_request import TextRequest


def finish(engine: ScriptedEngine, prompt: list[int], **params: object) -> TextRequest:
    request = request_of(prompt, engine.n_ctx, **params)
    batch = batch_of(engine)
    batch.add(request)
    while not batch.is_idle:
        batch.step()
    assert request.is_over and request.error is None
    return request


def test_an_end_token_stops_and_is_left_out() -> None:
    result = finish(ScriptedEngine("abc"), [0, 5]).result()
    assert (result.text, result.tokens, result.finish_reason) == ("abc", [97, 98, 99], "stop")
    assert result.stats.n_prompt == 2
    assert result.stats.n_decode == 3  # the first token comes from the prompt's own step


def test_max_tokens_and_context_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "halfbyte")
    request = finish(ScriptedEngine("abcdef"), [0, 5], max_tokens=3)
    assert (request.text, request.finish_reason) == ("abc", "length")
    request = finish(ScriptedEngine("abcdef", n_ctx=6), [0, 5])
    assert (request.text, request.finish_reason) == ("abcd", "context")
    finish(ScriptedEngine("abc"), [0])
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "the answer ends at max_tokens=3"),
        ("WARNING", "the context of 6 tokens is full: the answer ends there"),
    ]


def test_where_no_tokens_are_wanted_the_prompt_is_processed() -> None:
    engine = ScriptedEngine("abc")
    request = finish(engine, [0, *[5] * 600], max_tokens=0)
    assert (request.text, request.tokens, request.finish_reason) == ("", [], "length")
    assert [n for (n,) in engine.steps] == [256, 256, 89]  # not its first part alone
    stats = request.stats()
    assert (stats.n_prompt, stats.n_decode, stats.decode_s) == (601, 0, 0.0)
    assert stats.prefill_s == request.stats().prefill_s > 0  # however late one looks


def test_stop_tokens_count_as_stops() -> None:
    request = finish(ScriptedEngine("abc"), [0], stop_tokens=[98])
    assert (request.tokens, request.finish_reason) == ([97], "stop")


@pytest.mark.parametrize(
    ("script", "stop", "text"),
    [
        ("one STOP two", ["STOP"], "one "),
        ("one STO two", ["STOP"], "one STO two"),
        ("one STO", ["STOP"], "one STO"),
        ("aab", ["ab"], "a"),
        ("xyz", ["zzz", "y"], "x"),
        ("abcd", ["bc", "abcd"], "a"),
        ("STOP", "STOP", ""),
    ],
)
def test_stop_strings_cut_the_text(script: str, stop: object, text: str) -> None:
    assert finish(ScriptedEngine(script), [0], stop=stop).result().text == text


@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_what_is_shown_is_never_taken_back(script: str, stops: list[str]) -> None:
    request = request_of([0], stop=tuple(stops), max_tokens=1000)
    batch, shown = batch_of(ScriptedEngine(script)), ""
    batch.add(request)
    while not batch.is_idle:
        batch.step()
        assert request.text.startswith(shown)
        shown = request.text
    # Reading on, the first end of any stop string ends the text where that string begins.
    ends = [(script.find(s) + len(s), script.find(s)) for s in stops if s in script]
    first_end = min((end for end, _ in ends), default=None)
    cut = min((at for end, at in ends if end == first_end), default=len(script))
    assert request.text == script[:cut]


def test_a_result_before_the_end_has_the_reason_for_it() -> None:
    request, batch = request_of([0]), batch_of(ScriptedEngine("abcdef"))
    batch.add(request)
    batch.step()
    batch.step()
    cut = request.result("timeout")
    assert (cut.text, cut.finish_reason, cut.stats.n_decode) == ("ab", "timeout", 1)
    assert request_of([0]).result("timeout").stats == Stats(1, 0.0, 0, 0.0)


def test_rates_without_time_are_zero() -> None:
    assert Stats(5, 0.0, 0, 0.0).prefill_tps == 0.0
    assert Stats(5, 0.5, 10, 2.0).decode_tps == 5.0
    assert Stats(5, 0.5, 10, 2.0).prefill_tps == 10.0
