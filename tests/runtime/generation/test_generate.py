"""Stops, limits and the order of work, with an engine that plays back a script."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halfbyte.generation.generate import Request, Stats, new_request, run
from halfbyte.generation.params import SamplingParams
from halfbyte.progress import silent

END = 1


class Letters:
    """A vocabulary in which id i is the character chr(i), except that 1 ends a text."""

    n_vocab = 128
    eog_ids = frozenset({END})

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == END else bytes([token])


class ScriptEngine:
    """Answers each prompt with its script: the prompt's first token says which."""

    def __init__(self, *scripts: str, n_ctx: int = 1000) -> None:
        self.scripts, self.n_ctx = scripts, n_ctx
        self.steps: list[list[int]] = []

    def new_sequence(self) -> list[int]:
        return []

    def forward(self, spans: Seq[object]) -> np.ndarray:
        self.steps.append([len(span.tokens) for span in spans])
        rows = []
        for span in spans:
            if not span.sequence:
                span.sequence.extend([span.tokens[0], 0])
            if span.n_out:
                script, at = self.scripts[span.sequence[0]], span.sequence[1]
                row = np.zeros(128, np.float32)
                row[ord(script[at]) if at < len(script) else END] = 1.0
                span.sequence[1] += 1
                rows.append(row)
        return np.array(rows)


def finish(engine: ScriptEngine, prompts: list[list[int]], **params: object) -> list[Request]:
    sampling = SamplingParams.from_kwargs(**params)
    requests = [new_request(Letters(), prompt, sampling) for prompt in prompts]
    for _ in run(engine, requests, silent):
        pass
    return requests


def test_an_end_token_stops_and_is_left_out() -> None:
    (request,) = finish(ScriptEngine("abc"), [[0, 5]])
    result = request.completion()
    assert (result.text, result.tokens, result.finish_reason) == ("abc", [97, 98, 99], "stop")
    assert result.stats.n_prompt == 2
    assert result.stats.n_decode == 3  # the first token comes from the prompt's own step


def test_max_tokens_and_context_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "halfbyte")
    (request,) = finish(ScriptEngine("abcdef"), [[0, 5]], max_tokens=3)
    assert (request.text, request.finish_reason) == ("abc", "length")
    (request,) = finish(ScriptEngine("abcdef", n_ctx=6), [[0, 5]])
    assert (request.text, request.finish_reason) == ("abcd", "context")
    finish(ScriptEngine("abc"), [[0]])
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("INFO", "the answer ends at max_tokens=3"),
        ("WARNING", "the context of 6 tokens is full: the answer ends there"),
    ]


def test_no_tokens_wanted_is_no_work() -> None:
    engine = ScriptEngine("abc")
    (request,) = finish(engine, [[0]], max_tokens=0)
    assert (request.text, request.finish_reason, engine.steps) == ("", "length", [])


def test_stop_tokens_count_as_stops() -> None:
    (request,) = finish(ScriptEngine("abc"), [[0]], stop_tokens=[98])
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
    (request,) = finish(ScriptEngine(script), [[0]], stop=stop)
    assert request.completion().text == text


@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
)
def test_what_is_shown_is_never_taken_back(script: str, stops: list[str]) -> None:
    request = new_request(Letters(), [0], SamplingParams(stop=tuple(stops), max_tokens=1000))
    shown = ""
    for _ in run(ScriptEngine(script), [request], silent):
        assert request.text.startswith(shown)
        shown = request.text
    # Reading on, the first end of any stop string ends the text where that string begins.
    ends = [(script.find(s) + len(s), script.find(s)) for s in stops if s in script]
    first_end = min((end for end, _ in ends), default=None)
    cut = min((at for end, at in ends if end == first_end), default=len(script))
    assert request.text == script[:cut]


def test_prompts_are_prefilled_in_chunks_and_decoded_together() -> None:
    engine = ScriptEngine("ab", "cdef", "")
    requests = finish(engine, [[0] * 300, [1], [2]])
    assert [r.text for r in requests] == ["ab", "cdef", ""]
    assert engine.steps[:4] == [[256], [44], [1], [1]]
    assert engine.steps[4:] == [[1, 1], [1, 1], [1], [1]]


def test_rates_without_time_are_zero() -> None:
    assert Stats(5, 0.0, 0, 0.0).prefill_tps == 0.0
    assert Stats(5, 0.5, 10, 2.0).decode_tps == 5.0
    assert Stats(5, 0.5, 10, 2.0).prefill_tps == 10.0
