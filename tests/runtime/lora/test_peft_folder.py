"""Folders of peft: every tensor used and of the right shape, or one error that says what."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from saved_adapter import Saved

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.lora.reading import read_adapter

AT = "base_model.model.model.layers.0."
Q_A, Q_B = (f"{AT}self_attn.q_proj.lora_{half}.weight" for half in "AB")


def test_factors_have_the_names_and_rows_of_the_file(saved: Saved) -> None:
    """Rows of q are those that llama.cpp's LlamaModel.permute gives the weights."""
    adapter = read_adapter(saved.write(), saved.config)
    assert len(adapter.factors) == 14
    assert (adapter.rank, adapter.kind) == (3, "F32")
    q = adapter.factors["blk.0.attn_q.weight"]
    assert q.scale == 2
    assert (q.a == saved.tensors[Q_A]).all()
    permuted = saved.tensors[Q_B].reshape(4, 2, 8, 3).swapaxes(1, 2).reshape(64, 3)
    assert (q.b == permuted).all()
    down = adapter.factors["blk.1.ffn_down.weight"]
    name = "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"
    assert (down.b == saved.tensors[name]).all()


def test_adapters_of_a_model_without_its_head(saved: Saved) -> None:
    whole = read_adapter(saved.write(), saved.config)
    saved.tensors = {n.replace(".model.model.", ".model."): t for n, t in saved.tensors.items()}
    assert read_adapter(saved.write(), saved.config).digest == whole.digest


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_types_are_kept(saved: Saved, dtype: str) -> None:
    saved.tensors = {name: t.astype(dtype) for name, t in saved.tensors.items()}
    adapter = read_adapter(saved.write(), saved.config)
    assert adapter.kind == {"float16": "F16", "float32": "F32"}[dtype]
    saved.tensors[Q_A] = saved.tensors[Q_A].astype("float32")
    assert read_adapter(saved.write(), saved.config).kind == "F32"


def test_what_does_not_fit_is_said_together(saved: Saved) -> None:
    saved.tensors[Q_A] = saved.tensors[Q_A][:, :60].copy()
    del saved.tensors[f"{AT}mlp.up_proj.lora_A.weight"]
    saved.tensors[f"{AT}mlp.router.lora_A.weight"] = np.zeros((3, 64), np.float32)
    with pytest.raises(ModelFileError) as caught:
        read_adapter(saved.write(), saved.config)
    said = str(caught.value)
    assert "router.lora_A.weight: the model has no such matrix" in said
    assert "blk.0.ffn_up.weight: only its half B" in said
    assert "blk.0.attn_q.weight: factors of (3, 60) and (64, 3), not (r, 64) and (64, r)" in said
    assert said.endswith("it was made for tiny/base")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("base_model.model.model.embed_tokens.lora_embedding_A", "LoRA of the embedding"),
        (f"{AT}self_attn.q_proj.lora_magnitude_vector", "DoRA is not computed"),
        ("base_model.model.lm_head.weight", "no factor of a LoRA"),
        (f"{AT}self_attn.q_proj.lora_B.bias", "no factor of a LoRA"),
        (f"{AT}input_layernorm.lora_A.weight", "the model has no such matrix"),
        ("base_model.model.model.layers.2.mlp.up_proj.lora_A.weight", "no such matrix"),
        ("base_model.model.layers.0.self_attn.q_proj.lora_A.weight", "a second one of its matrix"),
    ],
)
def test_tensors_that_would_not_be_used(saved: Saved, name: str, said: str) -> None:
    saved.tensors[name] = np.zeros((3, 64), np.float32)
    with pytest.raises(ModelFileError, match=said):
        read_adapter(saved.write(), saved.config)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(saved: Saved, value: float) -> None:
    saved.tensors[Q_B][3, 1] = value
    with pytest.raises(ModelFileError, match=r"q_proj.lora_B.weight: expected finite weights"):
        read_adapter(saved.write(), saved.config)


def test_other_types_and_no_tensors(saved: Saved) -> None:
    saved.tensors[Q_A] = saved.tensors[Q_A].astype(np.float64)
    with pytest.raises(ModelFileError, match=r"q_proj.lora_A.weight is F64"):
        read_adapter(saved.write(), saved.config)
    saved.tensors = {}
    with pytest.raises(ModelFileError, match=r"tensors: .* got none at all"):
        read_adapter(saved.write(), saved.config)


def test_pickled_weights_and_none(saved: Saved) -> None:
    path = saved.write()
    weights = path / "adapter_model.safetensors"
    shutil.move(weights, path / "adapter_model.bin")
    with pytest.raises(UnsupportedModelError, match=r"got pickled weights; pickle files can run"):
        read_adapter(path, saved.config)
    (path / "adapter_model.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"adapter_model.safetensors"):
        read_adapter(path, saved.config)


def test_damaged_files(saved: Saved) -> None:
    """Cut anywhere, or with changed bytes of its header: an error, never a crash."""
    path = saved.write()
    weights = path / "adapter_model.safetensors"
    whole, rng = weights.read_bytes(), np.random.default_rng(1)
    n_header = int.from_bytes(whole[:8], "little")
    for at in rng.integers(0, len(whole), 12):
        weights.write_bytes(whole[:at])
        with pytest.raises(ModelFileError):
            read_adapter(path, saved.config)
    for at in rng.integers(0, n_header, 40):
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(7))
        weights.write_bytes(changed)
        try:
            read_adapter(path, saved.config)
        except ModelFileError:
            pass
    weights.write_bytes(whole)
    (path / "adapter_config.json").write_text("{")
    with pytest.raises(ModelFileError, match="readable JSON"):
        read_adapter(path, saved.config)


def test_paths_that_hold_none(saved: Saved, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("nothing")
    for path, said in (
        (tmp_path / "nowhere", "got nothing"),
        (tmp_path, "got another folder"),
        (other, "got another file"),
    ):
        with pytest.raises(ModelFileError, match=said):
            read_adapter(path, saved.config)
