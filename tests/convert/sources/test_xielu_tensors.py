"""xIELU's numbers of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from halfbyte.converting.sources.safetensors_file import SafetensorsFile
from halfbyte.converting.sources.xielu_tensors import take_xielu
from halfbyte.errors import ConversionError
from halfbyte.families.xielu import Xielu

AT = "model.layers.{}.mlp.act_fn.{}"


def _tensors(**changes: object) -> dict[str, np.ndarray]:
    """Of two layers: trained ones have one entry, the others no dimension."""
    made: dict[str, np.ndarray] = {"other": np.ones(3, np.float32)}
    for i in range(2):
        values = {"alpha_p": [0.5 + i], "alpha_n": [-1.0], "beta": 0.5, "eps": -0.25} | changes
        made |= {AT.format(i, name): np.array(value, np.float32) for name, value in values.items()
                 if value is not None}  # fmt: skip
    return made


def _take(tmp_path: Path, tensors: dict[str, np.ndarray]) -> tuple[tuple[Xielu, ...], set[str]]:
    save_file(tensors, tmp_path / "x.safetensors")
    file = SafetensorsFile(tmp_path / "x.safetensors")
    try:
        found, rest = take_xielu(tmp_path, file.tensors, 2)
        return found, set(rest)
    finally:
        file.close()


def test_they_are_taken_from_among_the_tensors(tmp_path: Path) -> None:
    wanted = (Xielu(0.5, -1.0, 0.5, -0.25), Xielu(1.5, -1.0, 0.5, -0.25))
    assert _take(tmp_path, _tensors()) == (wanted, {"other"})


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"beta": None}, r"missing model\.layers\.0\.mlp\.act_fn\.beta, model\.layers\.1"),
        ({"alpha_p": [1.0, 2.0]}, "expected one number"),
        ({"eps": np.nan}, "a finite number"),
    ],
)
def test_what_is_missing_or_no_number(
    tmp_path: Path, changes: dict[str, object], word: str
) -> None:
    with pytest.raises(ConversionError, match=word):
        _take(tmp_path, _tensors(**changes))


def test_another_type_is_refused(tmp_path: Path) -> None:
    tensors = _tensors() | {AT.format(1, "eps"): np.array(1, np.int64)}
    with pytest.raises(ConversionError, match="I64"):
        _take(tmp_path, tensors)
