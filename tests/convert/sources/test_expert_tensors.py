"""Experts' matrices of a checkpoint, however they are stored."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from halfbyte.converting.sources.expert_tensors import missing_parts, with_experts
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.hf_tensors import map_tensors
from halfbyte.converting.sources.safetensors_file import SafetensorsFile
from halfbyte.errors import ConversionError
from halfbyte.families.from_hf import config_from_hf
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


def test_a_shared_experts_two_matrices_in_one(tmp_path: Path) -> None:
    """Halves of the rows, read in any order; not one of another number of rows."""
    whole = _WHOLE[0]
    save_file({"input_linear.weight": whole}, tmp_path / "x.safetensors")
    file = SafetensorsFile(tmp_path / "x.safetensors")
    names = [f"input_linear.weight[{i}/2]" for i in range(2)]
    found = with_experts(tmp_path, file.tensors, [_spec(name, (ROWS, COLS)) for name in names])
    for name, expected in zip(names, np.split(whole, 2), strict=True):
        assert found[name].shape == (ROWS, COLS)
        assert (found[name].rows(slice(1, 9)) == expected[1:]).all()
        assert (found[name].rows(np.array([3, 0])) == expected[[3, 0]]).all()
        assert (found[name].stored(slice(0, 2)).view(np.float32) == expected[:2]).all()
    with pytest.raises(ConversionError, match="a matrix with 3 parts"):
        with_experts(tmp_path, file.tensors, [_spec("input_linear.weight[0/3]", (ROWS, COLS))])
    file.close()


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


@pytest.mark.parametrize(
    ("kind", "stated", "change", "word"),
    [
        ("glm4_moe", {"num_experts_per_tok": 9}, {}, "num_experts_per_tok: .* from 1 to 8"),
        ("glm4_moe", {"topk_group": 1}, {}, "groups of 8 experts that hold 3.*1 of 4"),
        ("glm4_moe", {"first_k_dense_replace": 2}, {}, r"missing model\.layers\.1\.mlp\.gate_proj"),
        ("glm4_moe", {}, {"model.layers.1.mlp.gate.e_score_correction_bias": None},
         r"missing model\.layers\.1\.mlp\.gate\.e_score_correction_bias"),
        ("ernie4_5_moe", {"moe_layer_end_index": 0}, {}, r"unknown model\.layers\.1\.mlp\.experts"),
        ("ernie4_5_moe", {"moe_k": 7}, {}, "moe_k: .* from 1 to 6"),
        ("ernie4_5_moe", {}, {"model.layers.1.mlp.experts.4.up_proj.weight": (16, 64)},
         r"experts\.4\.up_proj\.weight: expected the shape of"),
        ("granitemoe", {"num_local_experts": 5}, {}, r"input_linear\.weight.* is \(6, 32, 64\)"),
        ("granitemoe", {}, {"model.layers.0.block_sparse_moe.input_linear.weight": (6, 63, 64)},
         "experts with 2 parts each"),
        ("granitemoeshared", {"shared_intermediate_size": 0}, {}, "unknown .*shared_mlp"),
        ("olmo3", {"layer_types": ["full_attention"]}, {}, "one for each of 2 layers"),
        ("olmo3", {"layer_types": ["full_attention", "mamba"]}, {}, "layer_types"),
        ("olmo3", {"sliding_window": 0}, {}, "sliding_window"),
        ("olmo3", {}, {"model.layers.1.post_feedforward_layernorm.weight": None}, "missing .*post"),
        ("apertus", {"hidden_act": "silu"}, {}, "hidden_act: expected 'xielu'"),
        ("apertus", {}, {"model.layers.1.mlp.act_fn.beta": None}, r"missing .*act_fn\.beta"),
        ("qwen3_moe", {"mlp_only_layers": [1]}, {}, r"missing model\.layers\.1\.mlp\.gate_proj"),
    ],
)  # fmt: skip
def test_what_contradicts_is_one_error(
    kind: str,
    stated: dict[str, object],
    change: dict[str, tuple[int, ...] | None],
    word: str,
    tmp_path: Path,
    benchmark_module: Callable[[str], ModuleType],
) -> None:
    """A configuration and the tensors beside it, of families with experts and of others."""
    tiny_llama = benchmark_module("tiny_llama")
    tiny = tiny_llama.Tiny("t", 1, 64, 32, 2, 4, 2, 16, 323, 1e6, tied=False, kind=kind)
    tensors = tiny_llama.weights(tiny)
    for name, shape in change.items():
        del tensors[name]
        if shape is not None:
            tensors[name] = np.zeros(shape, np.float32)
    (tmp_path / "config.json").write_text(json.dumps(tiny_llama.config(tiny) | stated))
    save_file(tensors, tmp_path / "model.safetensors")
    with closing(HFFolder(tmp_path)) as folder, pytest.raises(ConversionError, match=word):
        map_tensors(folder, config_from_hf(tmp_path, folder.config or {}))
