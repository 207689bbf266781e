"""Experts' matrices of a checkpoint, however they are stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from halfbyte.converting.sources.expert_tensors import missing_parts, with_experts
from halfbyte.converting.sources.safetensors_file import SafetensorsFile
from halfbyte.errors import ConversionError
from halfbyte.families.tensors import TensorSpec

F32 = NDArray[np.float32]
N, ROWS, COLS = 3, 4, 8
_WHOLE = np.arange(N * 2 * ROWS * COLS, dtype=np.float32).reshape(N, 2 * ROWS, COLS)


def _spec(name: str, shape: tuple[int, ...] = (N, ROWS, COLS)) -> TensorSpec:
    return TensorSpec("blk.0.x.weight", name, shape)


def _read(tmp_path: Path, tensors: dict[str, F32], *names: str) -> list[F32]:
    """What the tensors of some names are, read whole and row by row."""
    save_file(tensors, tmp_path / "x.safetensors")
    file = SafetensorsFile(tmp_path / "x.safetensors")
    found = with_experts(tmp_path, dict(file.tensors), [_spec(name) for name in names])
    assert set(found) == set(names)
    values = []
    for name in names:
        rows = found[name].rows(slice(0, N * found[name].shape[1]))
        one_by_one = [found[name].rows(slice(i, i + 1)) for i in range(len(rows))]
        assert (np.concatenate(one_by_one) == rows).all()
        assert (found[name].stored(slice(2, 7)).view(np.float32) == rows[2:7]).all()
        values.append(rows.reshape(found[name].shape))
    file.close()
    return values


def test_a_tensor_for_each(tmp_path: Path) -> None:
    name = "mlp.experts.{}.gate_proj.weight"
    some = {name.format(i): np.ascontiguousarray(_WHOLE[i, :ROWS]) for i in range(N)}
    (gate,) = _read(tmp_path, some, name)
    assert (gate == _WHOLE[:, :ROWS]).all()


def test_all_in_one_tensor(tmp_path: Path) -> None:
    names = [f"mlp.experts.{{}}.{kind}_proj.weight" for kind in ("gate", "up")]
    gate, up = _read(tmp_path, {"mlp.experts.gate_up_proj": _WHOLE}, *names)
    assert (gate == _WHOLE[:, :ROWS]).all() and (up == _WHOLE[:, ROWS:]).all()


def test_every_other_column_of_the_transposed(tmp_path: Path) -> None:
    stored = {"gate_up_proj": np.ascontiguousarray(_WHOLE.swapaxes(1, 2))}
    gate, up = _read(tmp_path, stored, "gate_up_proj[0/2~T]", "gate_up_proj[1/2~T]")
    assert (gate == _WHOLE[:, 0::2]).all() and (up == _WHOLE[:, 1::2]).all()


def test_both_spellings_are_refused(tmp_path: Path) -> None:
    name = "mlp.experts.{}.gate_proj.weight"
    both = {name.format(0): _WHOLE[0, :ROWS], "mlp.experts.gate_up_proj": _WHOLE}
    with pytest.raises(ConversionError, match="one of the two"):
        _read(tmp_path, both, name)


def test_experts_of_different_shapes_are_refused(tmp_path: Path) -> None:
    name = "mlp.experts.{}.gate_proj.weight"
    some = {name.format(i): np.zeros((ROWS + (i == 1), COLS), np.float32) for i in range(N)}
    with pytest.raises(ConversionError, match=r"experts\.1\..*the shape of"):
        _read(tmp_path, some, name)


def test_what_is_missing_is_named() -> None:
    name = "mlp.experts.{}.gate_proj.weight"
    have = {name.format(i): None for i in (0, 2)}
    assert missing_parts(_spec(name), have) == [name.format(1)]  # type: ignore[arg-type]
    assert missing_parts(_spec("mlp.gate.weight"), {}) == ["mlp.gate.weight"]
