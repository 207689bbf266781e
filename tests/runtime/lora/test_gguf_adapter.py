"""Adapters in GGUF: the same numbers as the folder that they were converted from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from saved_adapter import F32, Saved

import halfbyte
from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.lora.reading import read_adapter

Q = "blk.0.attn_q.weight"
SHORT = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}  # fmt: skip


def as_gguf(tensors: dict[str, F32]) -> dict[str, F32]:
    """Names and rows as llama.cpp's convert_lora_to_gguf.py writes those of a Llama."""
    out = {}
    for name, x in tensors.items():
        _, _, layer, rest = name.removeprefix("base_model.model.").split(".", 3)
        module, _, end = rest.partition(".lora_")
        half = end[0].lower()
        n_heads = {"self_attn.q_proj": 4, "self_attn.k_proj": 2}.get(module)
        if half == "b" and n_heads:  # LlamaModel.permute
            shape = (n_heads, 2, len(x) // n_heads // 2, *x.shape[1:])
            x = x.reshape(shape).swapaxes(1, 2).reshape(x.shape)
        out[f"blk.{layer}.{SHORT[module]}.weight.lora_{half}"] = np.ascontiguousarray(x)
    return out


def write(
    path: Path, tensors: dict[str, F32], alpha: float | None = 6.0, raw: Any = None, **keys: str
) -> Path:
    """A file as that converter writes it; `keys` replace those of its kind."""
    kind = {"general.type": "adapter", "adapter.type": "lora", **keys}
    writer = gguf.GGUFWriter(path, kind.pop("architecture", "llama"))
    for key, value in kind.items():
        writer.add_string(key, value)
    if alpha is not None:
        writer.add_float32("adapter.lora.alpha", alpha)
    if "invoked" in keys:
        writer.add_array("adapter.alora.invocation_tokens", [1, 2])
    for name, x in tensors.items():
        data = x if raw is None else gguf.quants.quantize(x, raw)
        writer.add_tensor(name, data, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_file_gives_what_its_folder_does(saved: Saved, tmp_path: Path, tiny_gguf: Path) -> None:
    tensors = as_gguf(saved.tensors)
    path = write(tmp_path / "lora.gguf", tensors)
    folder, file = read_adapter(saved.write(), saved.config), read_adapter(path, saved.config)
    assert file.digest == folder.digest
    with halfbyte.load(tiny_gguf, threads=2) as model:
        for one in (saved.path, path):
            model.load_adapter(one, name=one.name)
        ids = list(range(3, 60))
        found = [model.logits(ids, adapter=name) for name in model.adapters]
        assert (found[0] == found[1]).all()
        assert (found[0] != model.logits(ids)).any()


def test_types_of_tensors(saved: Saved, tmp_path: Path) -> None:
    tensors = as_gguf(saved.tensors)
    for raw, kind in (
        (gguf.GGMLQuantizationType.F16, "F16"),
        (gguf.GGMLQuantizationType.BF16, "BF16"),
    ):
        read = read_adapter(write(tmp_path / f"{kind}.gguf", tensors, raw=raw), saved.config)
        assert read.kind == kind
        exact = gguf.quants.dequantize(gguf.quants.quantize(tensors[f"{Q}.lora_a"], raw), raw)
        assert (read.factors[Q].a == exact).all()


def test_scales_are_llama_cpps(saved: Saved, tmp_path: Path) -> None:
    """alpha / rank, or 1 where alpha is 0 or absent (llama_adapter_lora_weight::get_scale)."""
    tensors = as_gguf(saved.tensors)
    for alpha, scale in ((6.0, 2.0), (0.0, 1.0), (None, 1.0)):
        path = write(tmp_path / "lora.gguf", tensors, alpha)
        assert read_adapter(path, saved.config).factors[Q].scale == scale


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"general.type": "model"}, "general.type: expected adapter, got model"),
        ({"adapter.type": "dora"}, "adapter.type: expected lora, got dora"),
        ({"architecture": "qwen2"}, "general.architecture: expected llama, got qwen2"),
        ({"invoked": "yes"}, "adapter.alora.invocation_tokens: expected an adapter of all tokens"),
    ],
)
def test_files_of_another_kind(
    saved: Saved, tmp_path: Path, keys: dict[str, str], said: str
) -> None:
    path = write(tmp_path / "lora.gguf", as_gguf(saved.tensors), **keys)
    with pytest.raises(UnsupportedModelError) as caught:
        read_adapter(path, saved.config)
    assert said in str(caught.value)


def test_a_model_is_no_adapter(tiny_gguf: Path, saved: Saved) -> None:
    with pytest.raises(UnsupportedModelError, match=r"general\.type: expected adapter"):
        read_adapter(tiny_gguf, saved.config)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("token_embd.weight.lora_a", "LoRA of the embedding is not computed"),
        ("blk.0.attn_norm.weight", "no factor of a LoRA"),
        ("blk.9.attn_q.weight.lora_b", "the model has no such matrix"),
    ],
)
def test_tensors_that_would_not_be_used(saved: Saved, tmp_path: Path, name: str, said: str) -> None:
    tensors = as_gguf(saved.tensors) | {name: np.ones((3, 64), np.float32)}
    with pytest.raises(ModelFileError, match=said):
        read_adapter(write(tmp_path / "lora.gguf", tensors), saved.config)


def test_damaged_files(saved: Saved, tmp_path: Path) -> None:
    path = write(tmp_path / "lora.gguf", as_gguf(saved.tensors))
    whole, rng = path.read_bytes(), np.random.default_rng(2)
    for at in rng.integers(0, len(whole) - 64, 12):
        path.write_bytes(whole[:at])
        with pytest.raises(ModelFileError):
            read_adapter(path, saved.config)
    for at in rng.integers(0, 2500, 60):
        changed = bytearray(whole)
        changed[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            read_adapter(path, saved.config)
        except ModelFileError:
            pass
