"""Files with attn_kv_b: the model of the same weights in two tensors, cut when it is loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import halfbyte
from halfbyte.engine.fused_latents import cut, cut_nbytes
from halfbyte.errors import ConversionError, ModelFileError
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.families.tensors import TensorSpec
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.layouts.panels import FACTOR_NBYTES, PANEL_FORMATS
from halfbyte.kernels.pool import Pool
from halfbyte.quality.layer_source import GGUFSource
from tests.gguf_copies import Floats, rewritten

N, NOPE, VALUE, RANK = 2, 24, 20, 64
SPEC = TensorSpec("blk.0.attn_kv_b.weight", "", (N * (NOPE + VALUE), RANK), heads=(N, NOPE, VALUE))


@pytest.mark.parametrize(("name", "factor"), [("Q8_0", 1.0), ("NVFP4", 0.25)])
def test_blocks_that_cannot_be_transposed_become_half_floats(name: str, factor: float) -> None:
    """Times the factor of the whole matrix, where the type has one; values keep it."""
    rng, fmt = np.random.default_rng(3), PANEL_FORMATS[name]
    qtype = gguf.GGMLQuantizationType[name]
    size = SPEC.shape[0], fmt.source.row_nbytes(RANK)
    rows = rng.integers(0, 64, size, np.uint8)  # as bytes, of which all scales are finite
    exact = factor * gguf.quants.dequantize(rows, qtype).reshape(N, NOPE + VALUE, RANK)
    memory = np.zeros(cut_nbytes(fmt, SPEC), np.uint8)
    pool = Pool(1)
    made = cut(rows.ravel(), fmt, SPEC, pool, memory, factor)
    pool.close()
    own, shape, address = made["blk.0.attn_k_b.weight"]
    assert (own.name, shape, address) == ("F16", (RANK, NOPE), memory.ctypes.data)
    panels = memory[: N * own.nbytes(*shape)].view(np.float16).reshape(N, RANK // 16, -1, 16)
    found = panels.swapaxes(2, 3).reshape(N, RANK, -1)[..., :NOPE]
    assert (found == exact[:, :NOPE].swapaxes(1, 2).astype(np.float16)).all()
    assert made["blk.0.attn_v_b.weight"][:2] == (fmt, (VALUE, RANK))
    if fmt.has_factor:
        assert memory[-FACTOR_NBYTES:].view(np.float32)[0] == factor


@pytest.fixture(scope="module")
def newer(
    tmp_path_factory: pytest.TempPathFactory, benchmark_module: Callable[[str], ModuleType]
) -> Path:
    """A file of DeepSeek-V2's kind with both tensors, of floats."""
    tiny, folder = benchmark_module("tiny_llama"), tmp_path_factory.mktemp("latents")
    shape = tiny.Tiny("x", 18, 128, 160, 2, 4, 4, 16, 323, 1e4, tied=False, kind="deepseek_v2")
    tiny.save(shape, folder / "hf")
    halfbyte.convert(folder / "hf", folder / "newer.gguf", type="f32", measure=False)
    return folder / "newer.gguf"


# What an older file does not state.
NONE = dict.fromkeys(("attention.key_length_mla", "attention.value_length_mla"))


def test_an_older_file_is_the_same_model(newer: Path, tmp_path: Path) -> None:
    def fuse(tensors: Floats) -> None:
        for i in range(2):
            k, v = (tensors.pop(f"blk.{i}.attn_{name}_b.weight") for name in "kv")
            both = np.concatenate([k.swapaxes(1, 2), v], axis=1)
            tensors[f"blk.{i}.attn_kv_b.weight"] = both.reshape(-1, k.shape[1])

    values = {"attention.head_count_kv": 4, "attention.key_length": 48,
              "attention.value_length": 32}  # fmt: skip
    older = rewritten(newer, tmp_path / "older.gguf", fuse, NONE | values)
    ids = list(range(3, 60))
    with halfbyte.load(newer, threads=1) as a, halfbyte.load(older, threads=1) as b:
        assert b.config.latent.is_fused
        assert (a.logits(ids) == b.logits(ids)).all()
    with GGUFFile.open(older) as file:
        source = GGUFSource(file, config_from_gguf(file))
        reader = {t.name: t.data for t in gguf.GGUFReader(newer).tensors}
        for name in ("blk.1.attn_k_b.weight", "blk.1.attn_v_b.weight"):
            assert (source.tensor(name) == reader[name]).all()
    with pytest.raises(ConversionError, match="attn_kv_b"):
        halfbyte.convert(older, tmp_path / "other.gguf", type="q8_0", measure=False)


def test_a_part_of_a_layer_that_guesses_ahead_is_refused(newer: Path, tmp_path: Path) -> None:
    def add(tensors: Floats) -> None:
        tensors["blk.2.nextn.eh_proj.weight"] = np.zeros((128, 256), np.float32)

    values = {"block_count": 3, "nextn_predict_layers": 1, "attention.key_length_mla": 48,
              "attention.value_length_mla": 32}  # fmt: skip
    longer = rewritten(newer, tmp_path / "longer.gguf", add, values)
    with pytest.raises(ModelFileError, match=r"blk\.2\.nextn\.enorm\.weight"):
        halfbyte.load(longer)
    with pytest.raises(ConversionError, match=r"blk\.2\.nextn\.enorm\.weight"):
        halfbyte.convert(longer, tmp_path / "again.gguf", type="f32", measure=False)
    shutil.copytree(newer.parent / "hf", tmp_path / "hf")
    stated = json.loads((tmp_path / "hf" / "config.json").read_text())
    stated["num_nextn_predict_layers"] = 1
    (tmp_path / "hf" / "config.json").write_text(json.dumps(stated))
    stored = tmp_path / "hf" / "model.safetensors"
    more = {"model.layers.2.eh_proj.weight": np.zeros((2, 2), np.float32)}
    save_file({**load_file(stored), **more}, stored)
    with pytest.raises(ConversionError, match=r"layers\.2\.\w+"):
        halfbyte.convert(tmp_path / "hf", tmp_path / "own.gguf", type="f32", measure=False)
