"""Layers that guess further ahead, on their way from checkpoints through files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import halfbyte
from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.families.family import NextNames
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.next_layer import n_next_in_checkpoint, names_of_next, tensors_of_next
from halfbyte.families.registry import FAMILIES
from tests.runtime.engine.test_weights import Tensors, rewrite

Loader = Callable[[str], ModuleType]
OWN = ("eh_proj", "enorm", "hnorm", "shared_head_norm")


def save(module: ModuleType, folder: Path, kind: str = "glm4_moe", n_next: int = 1) -> None:
    kv = 4 if kind in ("deepseek_v3", "glm4_moe_lite") else 2
    shape = (64, 96, 2, 4, kv, 32, 323, 1e6)
    tiny = module.Tiny("t", 1, *shape, tied=False, kind=kind, n_next=n_next)
    module.save(tiny, folder)


def change(folder: Path, **tensors: np.ndarray | None) -> None:
    """Add tensors, or take some away."""
    path = folder / "model.safetensors"
    found = load_file(path) | {name.replace("__", "."): t for name, t in tensors.items()}
    save_file({n: t for n, t in found.items() if t is not None}, path, metadata={"format": "pt"})


def read(path: Path) -> tuple[dict[str, Any], dict[str, int]]:
    """Tensors by name, and how many layers it says."""
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()
    counts = {key: int(field.contents()) for key in ("block_count", "nextn_predict_layers")
              if (field := reader.fields.get(f"{architecture}.{key}")) is not None}  # fmt: skip
    return {tensor.name: tensor for tensor in reader.tensors}, counts


@pytest.mark.parametrize("kind", ["glm4_moe", "deepseek_v3", "glm4_moe_lite", "qwen3_5_text"])
def test_they_are_kept_at_eight_bits_and_named_as_llama_cpp_names_them(
    kind: str, tmp_path: Path, benchmark_module: Loader
) -> None:
    folder, plain = tmp_path / "hf", tmp_path / "plain"
    save(benchmark_module("tiny_llama"), folder, kind)
    save(benchmark_module("tiny_llama"), plain, kind, n_next=0)
    made, f32, less = (tmp_path / f"{name}.gguf" for name in ("made", "f32", "less"))
    halfbyte.convert(folder, made, type="q4_0", measure=False)
    tensors, counts = read(made)
    assert counts == {"block_count": 3, "nextn_predict_layers": 1}
    layer = {name.removeprefix("blk.2."): t for name, t in tensors.items() if "blk.2." in name}
    other = {name.removeprefix("blk.1.") for name in tensors if "blk.1." in name}
    assert layer.keys() == other | {f"nextn.{name}.weight" for name in OWN}
    types = {t.tensor_type.name for name, t in layer.items() if len(t.shape) > 1
             and "ffn_gate_inp" not in name}  # fmt: skip
    assert types == {"Q8_0"}
    assert "Q4_0" in {t.tensor_type.name for t in tensors.values()}

    halfbyte.convert(folder, f32, type="f32", measure=False)
    stored = load_file(folder / "model.safetensors")
    tensors, _ = read(f32)
    names = {
        "eh_proj": "model.layers.2.eh_proj",
        "shared_head_norm": "model.layers.2.shared_head.norm",
    }
    if kind == "qwen3_5_text":
        names = {"eh_proj": "mtp.fc", "shared_head_norm": "mtp.norm"}
    for name, own in names.items():
        adds = kind == "qwen3_5_text" and name.endswith("norm")
        assert (tensors[f"blk.2.nextn.{name}.weight"].data == stored[f"{own}.weight"] + adds).all()

    for source in (folder, f32):  # without them both are what they are without
        for target, how in ((less, {"drafts": False}), (tmp_path / "n.gguf", {})):
            halfbyte.convert(source if how else plain, target, type="f32", measure=False,
                             force=True, name="t", **how)  # fmt: skip
        assert less.read_bytes() == (tmp_path / "n.gguf").read_bytes()
    again = tmp_path / "again.gguf"
    halfbyte.convert(f32, again, type="keep", measure=False)
    assert again.read_bytes() == f32.read_bytes()


def test_embeddings_and_heads_are_kept_where_they_are_others(
    tmp_path: Path, benchmark_module: Loader
) -> None:
    folder, path = tmp_path / "hf", tmp_path / "m.gguf"
    save(benchmark_module("tiny_llama"), folder)
    stored = load_file(folder / "model.safetensors")
    change(folder, **{
        "model.layers.2.embed_tokens.weight": stored["model.embed_tokens.weight"],
        "model.layers.2.shared_head.head.weight": 2 * stored["lm_head.weight"],
    })  # fmt: skip
    halfbyte.convert(folder, path, type="f32", measure=False)
    tensors, _ = read(path)
    assert "blk.2.nextn.embed_tokens.weight" not in tensors
    head = tensors["blk.2.nextn.shared_head_head.weight"].data
    assert (head == 2 * stored["lm_head.weight"]).all()


def test_what_is_no_such_layer_is_one_error(tmp_path: Path, benchmark_module: Loader) -> None:
    folder, path, bad = tmp_path / "hf", tmp_path / "m.gguf", tmp_path / "bad.gguf"
    save(benchmark_module("tiny_llama"), folder)
    halfbyte.convert(folder, path, type="f32", measure=False)
    f32 = gguf.GGMLQuantizationType.F32

    def with_tensor(name: str, *shape: int) -> Callable[[Tensors], None]:
        def edit(tensors: Tensors) -> None:
            if shape:
                tensors[name] = np.zeros(shape, np.float32), f32
            else:
                del tensors[name]

        return edit

    cases = [
        (with_tensor("blk.2.nextn.shared_head_head.weight", 300, 64), r"\(323, 64\), not \(300"),
        (with_tensor("blk.2.nextn.embed_tokens.weight", 323, 32), r"\(323, 64\), not \(323, 32"),
        (with_tensor("blk.2.nextn.eh_proj.weight", 64, 64), r"\(64, 128\), not \(64, 64"),
        (with_tensor("blk.2.nextn.enorm.weight"), "expected blk.2.nextn.enorm.weight"),
        (with_tensor("blk.2.attn_q.weight"), "expected blk.2.attn_q.weight"),
    ]
    for edit, expected in cases:
        rewrite(path, bad, edit, "glm4moe")
        with pytest.raises(ModelFileError, match=expected):
            halfbyte.load(bad, threads=1)
    change(folder, **{"model.layers.2.hnorm.weight": None})
    with pytest.raises(ConversionError, match=r"missing model\.layers\.2\.hnorm\.weight"):
        halfbyte.convert(folder, bad, force=True)
    halfbyte.convert(folder, bad, type="f32", measure=False, force=True, drafts=False)


def test_names_of_another_kind() -> None:
    """As Qwen's checkpoints have them: beside the layers, under one name."""
    names = NextNames(
        layer="mtp.layers.{i}.", eh_proj="mtp.fc", enorm="mtp.pre_fc_norm_embedding",
        hnorm="mtp.pre_fc_norm_hidden", norm="mtp.norm", embedding="", head="", adds=1.0,
    )  # fmt: skip
    family = replace(FAMILIES["qwen3"], next_names=names)
    known = ["mtp.fc.weight", "mtp.norm.weight", "mtp.layers.0.self_attn.q_proj.weight",
             "model.layers.1.self_attn.q_proj.weight", "mtp.other.weight"]  # fmt: skip
    assert n_next_in_checkpoint(known, family, 2) == 1
    assert names_of_next(known, family, 2) == set(known[:3])
    config = config_from_hf(Path(), {"model_type": "qwen3", "num_hidden_layers": 2})
    specs = {spec.name: spec for spec in tensors_of_next(family, replace(config, n_next=1))}
    assert specs["blk.2.nextn.eh_proj.weight"].hf_name == "mtp.fc.weight"
    assert specs["blk.2.attn_q.weight"].hf_name == "mtp.layers.0.self_attn.q_proj.weight"
    assert specs["blk.2.nextn.shared_head_norm.weight"].adds == 1.0
