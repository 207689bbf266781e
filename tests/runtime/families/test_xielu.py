"""xIELU's numbers in a GGUF file."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.xielu import Xielu
from tests.runtime.families.test_from_gguf import keys_of, read

# llama.cpp's gguf-py calls them so, and its converter writes lists; its engine takes numbers too.
LISTS: dict[str, object] = {
    "xielu.alpha_p": [0.5, 1.5, -2.0], "xielu.alpha_n": [-0.25, 0.0, 3.0],
    "xielu.beta": 0.5, "xielu.eps": [-0.125, -0.25, -0.5],
}  # fmt: skip


def test_a_list_or_one_number_for_all_layers(tmp_path: Path) -> None:
    found = read(tmp_path, keys_of("apertus") | LISTS, "apertus").xielu
    assert found == (
        Xielu(0.5, -0.25, 0.5, -0.125), Xielu(1.5, 0.0, 0.5, -0.25), Xielu(-2.0, 3.0, 0.5, -0.5),
    )  # fmt: skip


def test_alphas_go_through_a_softplus() -> None:
    """Of arXiv:2411.13010: ln(1 + e**x), without overflow."""
    alpha_p, alpha_n, beta, eps = Xielu(0.5, -0.25, 0.5, -0.125).curve
    assert math.isclose(alpha_p, math.log(1 + math.exp(0.5)), rel_tol=1e-15)
    assert math.isclose(alpha_n, 0.5 + math.log(1 + math.exp(-0.25)), rel_tol=1e-15)
    assert (beta, eps) == (0.5, -0.125)
    assert Xielu(1000.0, -1000.0, 0.5, 0.0).curve == (1000.0, 0.5, 0.5, 0.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("xielu.alpha_p", None), ("xielu.alpha_n", [1.0, 2.0]), ("xielu.beta", [1, 2, 3]),
        ("xielu.beta", 5), ("xielu.beta", float("inf")), ("xielu.eps", [0.0, 1.0, float("nan")]),
    ],
)  # fmt: skip
def test_what_is_missing_or_no_number(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ModelFileError) as caught:
        read(tmp_path, keys_of("apertus") | LISTS | {key: value}, "apertus")
    assert caught.value.field == key


def test_other_architectures_have_none(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match=r"xielu\.alpha_p"):
        read(tmp_path, LISTS)
