"""Answers in llama.cpp's words."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.generation.completion import Completion, FinishReason, Stats
from halfbyte.generation.probabilities import TokenLogprob, TopToken
from halfbyte.server.llama_cpp.request_schema import GenerationFields
from halfbyte.server.llama_cpp.result_shapes import Shell, selected, timings

STATS = Stats(n_prompt=10, prefill_s=0.5, n_decode=3, decode_s=0.25, n_reused=6)


def _final(reason: FinishReason = "stop", stop_text: str = "", **fields: Any) -> Any:
    done = Completion(
        text="a\nb", tokens=[1, 2], finish_reason=reason, stats=STATS, stop_text=stop_text
    )
    shell = Shell(GenerationFields.model_validate(fields), "m", {"n_ctx": 5}, "p", first=2)
    return shell.final(1, done)


@pytest.mark.parametrize(
    ("reason", "stop_text", "told"),
    [("stop", "", "eos"), ("stop", "x", "word"), ("length", "", "limit"), ("context", "", "limit"),
     ("time", "", "limit")],
)  # fmt: skip
def test_why_an_answer_ended(reason: FinishReason, stop_text: str, told: str) -> None:
    got = _final(reason, stop_text)
    assert (got["stop_type"], got["stopping_word"]) == (told, stop_text)
    assert got["truncated"] is (reason == "context") and got["has_new_line"] is True
    assert (got["index"], got["id_slot"], got["tokens"]) == (3, 0, [])
    assert (got["tokens_predicted"], got["tokens_evaluated"], got["tokens_cached"]) == (2, 10, 12)


def test_a_warm_up_has_no_content() -> None:
    fields = GenerationFields.model_validate({"n_predict": 0, "return_tokens": True, "id_slot": 5})
    done = Completion(text="", tokens=[], finish_reason="length", stats=STATS)
    got = Shell(fields, "m", {"n_ctx": 5}, "p").final(0, done)
    assert (got["content"], got["tokens"], got["tokens_cached"]) == ("", [], 10)
    assert got["id_slot"] == 5 and got["has_new_line"] is False


def test_times_by_hand() -> None:
    assert timings(STATS, 2) == {
        "cache_n": 6, "prompt_n": 4, "prompt_ms": 500.0, "prompt_per_token_ms": 125.0,
        "prompt_per_second": 8.0, "predicted_n": 2, "predicted_ms": 250.0,
        "predicted_per_token_ms": 125.0, "predicted_per_second": 8.0,
    }  # fmt: skip
    nothing = timings(Stats(3, 0.0, 0, 0.0, n_reused=3, n_drafted=4, n_accepted=1), 0)
    assert nothing["prompt_per_second"] == nothing["predicted_per_token_ms"] == 0.0
    assert (nothing["draft_n"], nothing["draft_n_accepted"]) == (4, 1)


def test_paths_of_fields() -> None:
    result = {"a": {"b": 1, "c": {"d": None}}, "e": [1]}
    assert selected(result, None) is selected(result, []) is result
    assert selected(result, ["a/c/d", "e", "a/x", "e/0", ""]) == {"a/c/d": None, "e": [1]}


def test_probabilities_are_numbers_of_json() -> None:
    token = TokenLogprob(7, b"\xc3", 0, -float("inf"), (TopToken(8, b"x", 0.0),))
    forced = TokenLogprob(9, b"y", 1, None)
    shell = Shell(GenerationFields.model_validate({}), "m", {}, "")
    first, second = shell.probabilities([token, forced])
    assert first["logprob"] < -1e38 and (first["token"], first["bytes"]) == ("", [0xC3])
    assert first["top_logprobs"] == [{"id": 8, "token": "x", "bytes": [120], "logprob": 0.0}]
    assert second["logprob"] == 0.0
    after = Shell(GenerationFields.model_validate({"post_sampling_probs": True}), "m", {}, "")
    assert after.probabilities([token])[0]["prob"] == 0.0
