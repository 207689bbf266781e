"""The fields of requests: what is one prompt, and which values are refused."""

from __future__ import annotations

from typing import Any

import pytest

from halfbyte.server.fault import Fault
from halfbyte.server.fields import checked
from halfbyte.server.llama_cpp.request_schema import InfillFields, LlamaCompletionFields


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("a", ["a"]), ([1, 2], [[1, 2]]), ([1, "a"], [[1, "a"]]), (["a", "b"], ["a", "b"]),
     ([[1], "b", ["c", 3]], [[1], "b", ["c", 3]]), (["a"], ["a"])],
)  # fmt: skip
def test_what_is_one_prompt(prompt: Any, expected: list[Any]) -> None:
    assert checked(LlamaCompletionFields, {"prompt": prompt}, "test").prompts == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("temperature", "top_p", "min_p", "repeat_penalty",
                                     "dry_multiplier", "mirostat_tau", "top_n_sigma")
          for value in (-2, 1e12, True, "1", [])],
        *[(name, value) for name in ("n_predict", "n_indent", "top_k", "repeat_last_n", "seed",
                                     "n_probs", "t_max_predict_ms", "mirostat", "id_slot")
          for value in (-(1 << 40), 1 << 70, 1.5, True, "1")],
        ("stop", ["a"] * 65), ("stop", [3]), ("samplers", 3), ("stream", 1), ("stream", "true"),
        ("response_fields", "content"), ("lora", {"id": 0}), ("lora", [{"id": 0}]),
        ("logit_bias", 3), ("logit_bias", [[1]]), ("dry_sequence_breakers", []),
        ("json_schema", "a"), ("grammar", {}),
    ],
)  # fmt: skip
def test_a_bad_value_names_its_field(name: str, value: Any) -> None:
    body = {"input_prefix": "", "input_suffix": "", name: value}
    with pytest.raises(Fault) as caught:
        checked(InfillFields, body, "test")
    assert caught.value.kind == "invalid_request" and caught.value.param.startswith(name)


def test_null_is_the_default() -> None:
    names = [name for name in InfillFields.model_fields if not name.startswith("input_")]
    body = {"input_prefix": "a", "input_suffix": "b", **dict.fromkeys(names)}
    assert checked(InfillFields, body, "test").prompt is None


def test_other_names_of_a_field() -> None:
    base = {"prompt": "a"}
    for name, of in (("max_tokens", "n_predict"), ("max_completion_tokens", "n_predict"),
                     ("n", "n_cmpl"), ("logprobs", "n_probs")):  # fmt: skip
        assert getattr(checked(LlamaCompletionFields, {**base, name: 3}, "test"), of) == 3
