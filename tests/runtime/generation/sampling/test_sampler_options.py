"""What may be asked of the samplers: ranges, names, and a word where something has no effect."""

from __future__ import annotations

import math
from typing import Any

import pytest

from halfbyte.errors import RequestError
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.sampling.sampler_options import OF_SAMPLER, RANGES, SAMPLERS, sampler_names


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name, (low, high) in RANGES.items()
          for value in (low - 0.01, high * 1.01, math.nan, math.inf, True, "1", None, 1j)],
        *[("adaptive_target", value) for value in (-0.1, 1.1, math.nan, "0.5", True)],
        *[(name, value) for name in ("penalty_window", "dry_window")
          for value in (-1, 1.5, True, "3")],
        *[("dry_allowed_length", value) for value in (0, -1, 2.0, None)],
        *[("mirostat", value) for value in (-1, 3, 1.0, True, "2", None)],
        *[("samplers", value) for value in ("", "top_q", ["top_k", "topk"], [3], 3, {"top_k"},
                                            "top_k;;xtc", ["infill"] * 2, "mirostat")],
        *[("dry_sequence_breakers", value) for value in ("", [""], [3], None, "a" * 41,
                                                         [str(i) for i in range(65)])],
    ],
)  # fmt: skip
def test_bad_values_name_the_parameter(name: str, value: Any) -> None:
    with pytest.raises(RequestError) as caught:
        SamplingParams(**{name: value})
    assert caught.value.param == name and caught.value.expected


def test_names_of_samplers_as_llama_cpp_spells_them() -> None:
    spelled = "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature"
    names = sampler_names(spelled)
    assert names == (
        "penalties", "dry", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc",
        "temperature",
    )  # fmt: skip
    assert sampler_names(["Top-K", " nucleus", "temp", "adaptive-p"]) == (
        "top_k", "top_p", "temperature", "adaptive_p",
    )  # fmt: skip
    assert sampler_names([]) == ()
    assert sampler_names(["infill"]) == ("infill",)


def test_each_parameter_belongs_to_a_sampler() -> None:
    assert OF_SAMPLER.keys() == set(SAMPLERS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"temperature": 0, "typical_p": 0.5, "mirostat": 2, "samplers": ["top_k"]},
         [f"{name} has no effect at temperature 0" for name in ("typical_p", "mirostat",
                                                                "samplers")]),
        ({"temperature": 0, "dry_multiplier": 1, "dry_base": 2, "penalty_window": 3,
          "presence_penalty": 1}, []),
        ({"temperature": 1, "dry_window": 3, "xtc_threshold": 0.2, "mirostat_eta": 0.2,
          "adaptive_decay": 0.5, "dynatemp_exponent": 2, "penalty_window": 9},
         ["dry_window has no effect without dry_multiplier",
          "dynatemp_exponent has no effect without dynatemp_range",
          "xtc_threshold has no effect without xtc_probability",
          "adaptive_decay has no effect without adaptive_target",
          "mirostat_eta has no effect without mirostat",
          "penalty_window has no effect without a penalty"]),
        ({"temperature": 0.5, "mirostat": 1, "top_k": 3, "repetition_penalty": 1.1},
         ["repetition_penalty has no effect with mirostat", "top_k has no effect with mirostat"]),
        ({"temperature": 0.5, "samplers": "top_k", "top_p": 0.5},
         ["top_p has no effect as samplers leaves it out",
          "temperature has no effect as samplers leaves it out"]),
        ({"temperature": 0.5, "samplers": "temperature", "adaptive_target": 0.5},
         ["adaptive_target has no effect as samplers leaves it out"]),
        ({"temperature": 1, "mirostat": 2, "samplers": "top_k"},
         ["samplers has no effect with mirostat"]),
    ],
)  # fmt: skip
def test_what_has_no_effect_gets_a_word(
    given: dict[str, Any], words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    SamplingParams.from_kwargs(**given)
    assert [record.getMessage() for record in caplog.records] == words


def test_names_of_other_programs() -> None:
    for theirs, ours in (("repeat_last_n", "penalty_window"), ("dry_penalty_last_n", "dry_window")):
        with pytest.raises(RequestError, match=f"it is {ours} here"):
            SamplingParams.from_kwargs(**{theirs: 3})
