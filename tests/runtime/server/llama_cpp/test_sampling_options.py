"""llama.cpp's sampling fields as the library's keywords."""

from __future__ import annotations

import math
from typing import Any

import pytest

import halfbyte
from halfbyte.generation.params import SamplingParams
from halfbyte.server.fault import Fault
from halfbyte.server.llama_cpp.sampling_options import sampling_options, token_biases
from halfbyte.server.llama_cpp.sampling_schema import SamplingFields
from halfbyte.server.shelf import Shelf
from halfbyte.tokenizer import Tokenizer

ALL = ["penalties", "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc",
       "temperature"]  # fmt: skip


@pytest.fixture
def tokenizer(shelf: Shelf) -> Tokenizer:
    return shelf.loaded()[0].model.tokenizer


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"temperature": 0.8, "samplers": ALL, "top_k": 40, "top_p": 0.95, "min_p": 0.05,
              "typical_p": 1.0, "top_n_sigma": 0.0}),
        ({"temperature": 0, "seed": 3}, {"temperature": 0.0}),
        ({"temperature": -1, "repeat_penalty": 1.1}, {
            "temperature": 0.0, "repetition_penalty": 1.1, "presence_penalty": 0.0,
            "frequency_penalty": 0.0, "penalty_window": 64}),
        ({"samplers": []}, {"temperature": 1.0, "samplers": []}),
        ({"samplers": "kp", "top_k": -1, "seed": 5},
         {"temperature": 1.0, "samplers": ["top_k", "top_p"], "top_k": 0, "top_p": 0.95,
          "seed": 5}),
        ({"samplers": ["infill", "temperature"], "temperature": 0},
         {"temperature": 0.0, "samplers": ["infill", "temperature"]}),
        ({"samplers": ["adaptive_p"], "adaptive_target": 0.3},
         {"temperature": 1.0, "samplers": ["adaptive_p"], "adaptive_target": 0.3,
          "adaptive_decay": 0.9}),
        ({"samplers": ["min_p", "temp"], "temperature": 0.5, "dynatemp_range": 0.2, "min_p": 0.1},
         {"temperature": 0.5, "samplers": ["min_p", "temperature"], "min_p": 0.1,
          "dynatemp_range": 0.2, "dynatemp_exponent": 1.0}),
        ({"samplers": ["xtc", "dry"], "xtc_probability": 0.5, "dry_multiplier": 0.8,
          "dry_base": 0.5, "dry_penalty_last_n": -1},
         {"temperature": 1.0, "samplers": ["xtc", "dry"], "xtc_probability": 0.5,
          "xtc_threshold": 0.1, "dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2,
          "dry_window": None, "dry_sequence_breakers": ["\n", ":", '"', "*"]}),
        ({"mirostat": 2, "mirostat_tau": 3, "top_k": 5},
         {"temperature": 0.8, "mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.1}),
        ({"samplers": [], "grammar": 'root ::= "a"', "json_schema": {}},
         {"temperature": 1.0, "samplers": [], "grammar": 'root ::= "a"'}),
        ({"samplers": [], "json_schema": {}},
         {"temperature": 1.0, "samplers": [], "json_schema": {"type": "object"}}),
    ],
)  # fmt: skip
def test_what_has_an_effect_is_passed_on(
    tokenizer: Tokenizer, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    options = sampling_options(SamplingFields(**given), tokenizer)
    assert options == expected
    known = {k: v for k, v in options.items() if k not in ("grammar", "json_schema")}
    assert SamplingParams(**known).without_effect() == []


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_biases_have_three_forms(tokenizer: Tokenizer, temperature: float) -> None:
    first, second = tokenizer.encode_fragment(" numpy"), tokenizer.encode_fragment("import os")
    assert len(second) > 1
    expected = {first[0]: 2.0, **dict.fromkeys(second, -math.inf)}
    for given in (
        [[first[0], 2], ["import os", False]], [[" numpy", 1.5], [" numpy", 0.5], *(
            [one, False] for one in second)],
        {" numpy": 2.0, "import os": False}, {str(first[0]): 2, "import os": False},
    ):  # fmt: skip
        asked = SamplingFields(logit_bias=given, temperature=temperature)  # type: ignore[arg-type]
        assert sampling_options(asked, tokenizer)["logit_bias"] == expected
    ends = sampling_options(SamplingFields(ignore_eos=True), tokenizer)["logit_bias"]
    assert ends == dict.fromkeys(tokenizer.eog_ids, -math.inf)


@pytest.mark.parametrize("text", ["--5", "9" * 5000, "٣", "-"])
def test_what_is_no_number_is_a_text(tokenizer: Tokenizer, text: str) -> None:
    asked = SamplingFields(logit_bias={text: 1.0})
    assert token_biases(asked, tokenizer).keys() == set(tokenizer.encode_fragment(text))


@pytest.mark.parametrize(
    "given", [[[-1, 1]], [[1 << 20, 1]], [[True, 1]], [[5, True]], [[5, "1"]], [[5, 1001]],
              {"-3": 1.0}, [[None, 1]]],
)  # fmt: skip
def test_a_bad_bias_is_named(tokenizer: Tokenizer, given: Any) -> None:
    with pytest.raises(Fault) as caught:
        sampling_options(SamplingFields(logit_bias=given), tokenizer)
    assert caught.value.param == "logit_bias"


def test_the_last_id_can_be_biased(shelf: Shelf, tokenizer: Tokenizer) -> None:
    model = shelf.loaded()[0].model
    assert isinstance(model, halfbyte.Model)
    last = tokenizer.n_vocab - 1
    options = sampling_options(SamplingFields(logit_bias=[[last, 1000]], temperature=0), tokenizer)
    assert model.complete("a", max_tokens=2, heal=False, **options).tokens[0] == last
