"""llama.cpp's names of sampler settings, and the library's."""

from __future__ import annotations

import math
from typing import Any

import pytest

from halfbyte.generation.params import SamplingParams
from halfbyte.server.fault import Fault
from halfbyte.server.fields import checked
from halfbyte.server.sampling_fields import SamplerFields, biases_of, sampler_options, seed_options

GIVEN: dict[str, Any] = {
    "top_k": 40, "min_p": 0.05, "top_n_sigma": 1.5, "typical_p": 0.9, "xtc_probability": 0.1,
    "xtc_threshold": 0.2, "dynatemp_range": 0.5, "dynatemp_exponent": 2.0, "repeat_penalty": 1.1,
    "repeat_last_n": 64, "dry_multiplier": 0.8, "dry_base": 1.5, "dry_allowed_length": 3,
    "dry_penalty_last_n": 32, "dry_sequence_breakers": ["\n"], "mirostat": 0, "mirostat_tau": 4.0,
    "mirostat_eta": 0.2, "adaptive_target": 0.5, "adaptive_decay": 0.5, "samplers": ["top_k"],
}  # fmt: skip


def test_every_setting_is_one_of_the_library() -> None:
    options = sampler_options(checked(SamplerFields, GIVEN, "test"))
    assert len(options) == len(GIVEN)
    params = SamplingParams.quietly(**options)
    assert (params.repetition_penalty, params.penalty_window, params.dry_window) == (1.1, 64, 32)
    assert sampler_options(SamplerFields()) == {}


def test_what_is_switched_off_is_off() -> None:
    names = ("top_k", "top_n_sigma", "repeat_last_n", "dry_penalty_last_n", "adaptive_target")
    options = sampler_options(checked(SamplerFields, dict.fromkeys(names, -1), "test"))
    params = SamplingParams.quietly(**options)
    assert (params.top_k, params.top_n_sigma, params.adaptive_target) == (0, 0.0, None)
    assert (params.penalty_window, params.dry_window) == (None, None)


@pytest.mark.parametrize("name", [name for name in GIVEN if name != "samplers"])
def test_values_out_of_range_are_refused(name: str) -> None:
    for value in (True, "x", -7, 1e300):
        with pytest.raises(Fault) as caught:
            checked(SamplerFields, {name: value}, "test")
        assert caught.value.param.startswith(name)


def test_biases_are_objects_or_pairs() -> None:
    assert biases_of({"15": 1, " the": -2.5, "7": False}) == {15: 1, " the": -2.5, 7: -math.inf}
    assert biases_of([[15, 1.0], ["x", False]]) == {15: 1.0, "x": -math.inf}
    assert biases_of({"9" * 5000: 1}) == {"9" * 5000: 1.0}
    for bad in ([[1]], [[1, 2, 3]], [[1, "x"]], [[1.5, 1]]):
        with pytest.raises(Fault) as caught:
            biases_of(bad)  # type: ignore[arg-type]
        assert caught.value.param == "logit_bias"


def test_seeds_below_zero() -> None:
    assert seed_options(None) == seed_options(-1) == {}
    assert (seed_options(3), seed_options(-2)) == ({"seed": 3}, {"seed": 2**64 - 2})
