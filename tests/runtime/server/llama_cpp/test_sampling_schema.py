"""Sampling fields: llama.cpp's defaults, and the order of its samplers."""

from __future__ import annotations

import pytest

from halfbyte.server.llama_cpp.sampling_schema import DEFAULTS, SamplingFields


def test_what_is_not_given_is_llama_cpps_default() -> None:
    asked = SamplingFields.model_validate({"top_k": 3, "min_p": None})
    assert (asked.value("top_k"), asked.value("min_p"), asked.value("temperature")) == (
        3,
        0.05,
        0.8,
    )
    assert all(name in SamplingFields.model_fields for name in DEFAULTS)


@pytest.mark.parametrize(
    ("given", "order"),
    [([], ()), ("", ()), (["top_k", "infill"], ("top_k", "infill")),
     ("edskypmxtia", ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc",
                      "temperature", "infill", "adaptive_p"))],
)  # fmt: skip
def test_samplers_are_names_or_letters(given: object, order: tuple[str, ...]) -> None:
    assert SamplingFields.model_validate({"samplers": given}).order == order
