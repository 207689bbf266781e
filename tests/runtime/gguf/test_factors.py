"""Factors of whole matrices: who has one, what it is, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from halfbyte.gguf.factors import factor_errors, factor_names, matrix_factors
from halfbyte.gguf.file import GGUFFile

_NVFP4 = gguf.GGMLQuantizationType.NVFP4


def _write(path: Path, **others: np.ndarray) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    for name, shape in {
        "blk.0.attn_q.weight": (2, 36),
        "blk.0.ffn_up_exps.weight": (3, 2, 36),
    }.items():
        writer.add_tensor(name, np.zeros(shape, np.uint8), raw_dtype=_NVFP4)
    writer.add_tensor("blk.0.attn_k.weight", np.zeros((2, 64), np.float32))
    for name, values in others.items():
        writer.add_tensor(f"blk.0.{name.replace('__', '.')}", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_factors_of_matrices_and_experts(tmp_path: Path) -> None:
    one, three = np.float32([0.25]), np.float32([1, 2, 3])
    path = _write(
        tmp_path / "model.gguf", attn_q__scale=one, ffn_up_exps__scale=three,
        attn_q__input_scale=one, attn_k__scale=one,
    )  # fmt: skip
    with GGUFFile.open(path) as file:
        found = {name: matrix_factors(file, info).tolist() for name, info in file.tensors.items()}
        assert found["blk.0.attn_q.weight"] == [0.25] and found["blk.0.attn_k.weight"] == [1]
        assert found["blk.0.ffn_up_exps.weight"] == [1, 2, 3]
        assert factor_names(file) == {
            "blk.0.attn_q.scale", "blk.0.attn_q.input_scale", "blk.0.ffn_up_exps.scale"
        }  # fmt: skip
        assert not list(factor_errors(file))


def test_a_file_need_not_have_them(tmp_path: Path) -> None:
    with GGUFFile.open(_write(tmp_path / "model.gguf")) as file:
        info = file.tensors["blk.0.ffn_up_exps.weight"]
        assert matrix_factors(file, info).tolist() == [1, 1, 1] and factor_names(file) == set()


@pytest.mark.parametrize("bad", [np.ones(2, np.float32), np.ones(3, np.float16)])
def test_factors_of_another_shape_or_type(tmp_path: Path, bad: np.ndarray) -> None:
    with GGUFFile.open(_write(tmp_path / "model.gguf", ffn_up_exps__scale=bad)) as file:
        (error,) = factor_errors(file)
        assert error.field == "blk.0.ffn_up_exps.scale" and "(3,)" in str(error)
