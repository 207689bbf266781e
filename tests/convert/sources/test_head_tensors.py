"""Parts of each head's rows: the same numbers as cutting the whole matrix up, in any pieces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from halfbyte.converting.sources.head_tensors import whole_name, with_heads
from halfbyte.converting.sources.safetensors_file import SafetensorsFile
from halfbyte.errors import ConversionError
from halfbyte.families.tensors import TensorSpec

N, K, V, RANK = 3, 6, 5, 8
SPECS = [
    TensorSpec("k", f"kv[0:{K}/{K + V}T]", (N, RANK, K)),
    TensorSpec("v", f"kv[{K}:{K + V}/{K + V}]", (N, V, RANK)),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_parts_are_those_of_the_whole(tmp_path: Path, dtype: type) -> None:
    kv = np.random.default_rng(1).standard_normal((N * (K + V), RANK)).astype(dtype)
    save_file({"kv": kv, "other": kv}, tmp_path / "m.safetensors")
    stored = SafetensorsFile(tmp_path / "m.safetensors").tensors
    found = with_heads(tmp_path, stored, SPECS)
    assert set(found) == {"other", *(spec.hf_name for spec in SPECS)}
    heads = kv.reshape(N, K + V, RANK)
    for spec, exact in zip(SPECS, (heads[:, :K].swapaxes(1, 2), heads[:, K:]), strict=True):
        part, rows = found[spec.hf_name], exact.reshape(-1, spec.shape[-1])
        assert part.shape == spec.shape and part.format is stored["kv"].format
        for begin in range(len(rows)):
            for end in range(begin + 1, len(rows) + 1):
                assert (part.rows(slice(begin, end)) == rows[begin:end]).all()
        whole = part.stored(slice(0, len(rows)))
        assert (whole.view(dtype).reshape(rows.shape) == rows).all()


def test_a_matrix_of_another_shape_is_named(tmp_path: Path) -> None:
    save_file({"kv": np.zeros((N * (K + V) + 1, RANK), np.float32)}, tmp_path / "m.safetensors")
    stored = SafetensorsFile(tmp_path / "m.safetensors").tensors
    with pytest.raises(ConversionError, match=r"kv is \(34, 8\), not \(33, 8\)"):
        with_heads(tmp_path, stored, SPECS)
    assert [whole_name(one) for one in ("kv", SPECS[0].hf_name)] == ["kv", "kv"]
