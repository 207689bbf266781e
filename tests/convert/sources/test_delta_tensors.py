"""A checkpoint's delta nets in a file's order: head by head, as their numbers are used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from halfbyte.converting.sources.delta_tensors import with_delta_nets
from halfbyte.converting.sources.head_tensors import whole_name
from halfbyte.converting.sources.safetensors_file import SafetensorsFile
from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.families.delta_net import delta_net_tensors
from halfbyte.families.delta_net_config import DeltaNet

DIM, N_KEYS, N_VALUES, KEY, VALUE = 8, 2, 6, 16, 32
GROUP = N_VALUES // N_KEYS
F32 = NDArray[np.float32]


def _config(*, is_tiled: bool) -> ModelConfig:
    net = DeltaNet(N_KEYS, N_VALUES, KEY, VALUE, 4, is_tiled=is_tiled)
    return ModelConfig(
        "qwen35" if is_tiled else "qwen3next", "", DIM, 16, 1, 2, 1, 16, 9, 99, 1e-6,
        RopeConfig(1e4), recurrent=net, recurrent_layers=(True,),
    )  # fmt: skip


def _read(path: Path, config: ModelConfig, shapes: dict[str, tuple[int, ...]]) -> dict[str, F32]:
    """What a file gets of random tensors, which are returned under a name with "hf." before it."""
    at, rng = "model.layers.0.linear_attn.", np.random.default_rng(1)
    made = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save_file({at + name: values for name, values in made.items()}, path / "m.safetensors")
    stored = SafetensorsFile(path / "m.safetensors").tensors
    specs = [spec for spec in delta_net_tensors(config, 0) if whole_name(spec.hf_name) in stored]
    found = with_delta_nets(config, stored, specs)
    assert set(found) == {spec.hf_name for spec in specs}
    values = {f"hf.{name}": one for name, one in made.items()}
    for spec in specs:
        tensor = found[spec.hf_name]
        n = tensor.shape[0]
        rows = np.concatenate([tensor.rows(slice(0, 5)), tensor.rows(np.arange(5, n))])
        if tensor.format is not None:
            assert (tensor.stored(slice(0, n)).view(np.float32).ravel() == rows.ravel()).all()
        values[spec.name.removeprefix("blk.0.")] = rows
    return values


def test_value_heads_of_a_key_head_are_no_neighbours(tmp_path: Path) -> None:
    keys, values = N_KEYS * KEY, N_VALUES * VALUE
    made = _read(tmp_path, _config(is_tiled=True), {
        "in_proj_qkv.weight": (2 * keys + values, DIM), "in_proj_z.weight": (values, DIM),
        "in_proj_b.weight": (N_VALUES, DIM), "in_proj_a.weight": (N_VALUES, DIM),
        "conv1d.weight": (2 * keys + values, 1, 4), "A_log": (N_VALUES,), "dt_bias": (N_VALUES,),
        "out_proj.weight": (DIM, values),
    })  # fmt: skip
    for name, mine, at in (
        ("in_proj_qkv.weight", "attn_qkv.weight", 2 * keys),
        ("in_proj_z.weight", "attn_gate.weight", 0),
        ("conv1d.weight", "ssm_conv1d.weight", 2 * keys),
    ):  # fmt: skip
        hf, file = made[f"hf.{name}"], made[mine]
        assert (hf[:at].ravel() == file[:at].ravel()).all()
        hf, file = (x[at:].reshape(N_VALUES, VALUE, -1) for x in (hf, file))
        for j in range(N_VALUES):
            assert (file[j] == hf[j % N_KEYS * GROUP + j // N_KEYS]).all()
    hf_out, out = (made[n].reshape(DIM, N_VALUES, VALUE)
                   for n in ("hf.out_proj.weight", "ssm_out.weight"))  # fmt: skip
    for j in range(N_VALUES):
        head = j % N_KEYS * GROUP + j // N_KEYS
        assert (out[:, j] == hf_out[:, head]).all()
        assert (made["ssm_beta.weight"][j] == made["hf.in_proj_b.weight"][head]).all()
        assert (made["ssm_alpha.weight"][j] == made["hf.in_proj_a.weight"][head]).all()
        assert made["ssm_dt.bias"][j] == made["hf.dt_bias"][head]
        assert made["ssm_a"][j] == pytest.approx(-np.exp(made["hf.A_log"][head]), rel=1e-6)


def test_what_stands_in_turn_is_taken_apart(tmp_path: Path) -> None:
    turn = 2 * KEY + 2 * GROUP * VALUE
    made = _read(tmp_path, _config(is_tiled=False), {
        "in_proj_qkvz.weight": (N_KEYS * turn, DIM), "A_log": (N_VALUES,),
        "in_proj_ba.weight": (2 * N_VALUES, DIM), "out_proj.weight": (DIM, N_VALUES * VALUE),
    })  # fmt: skip
    by_head = made["hf.in_proj_qkvz.weight"].reshape(N_KEYS, turn, DIM)
    parts = [KEY, 2 * KEY, 2 * KEY + GROUP * VALUE]
    q, k, v, z = (x.reshape(-1, DIM) for x in np.split(by_head, parts, axis=1))
    assert (made["attn_qkv.weight"] == np.concatenate([q, k, v])).all()
    assert (made["attn_gate.weight"] == z).all()
    assert (made["ssm_ba.weight"] == made["hf.in_proj_ba.weight"]).all()
    assert (made["ssm_out.weight"] == made["hf.out_proj.weight"]).all()
    np.testing.assert_allclose(made["ssm_a"], -np.exp(made["hf.A_log"]), rtol=1e-6)
