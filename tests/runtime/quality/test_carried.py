"""What float arithmetic carries between layers: the engine's logits, of layers that share keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import halfbyte
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.quality.float_model import FloatModel, hidden_states
from halfbyte.quality.layer_source import GGUFSource


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("gemma4_e", (64, 96, 6, 4, 2)), ("gemma4_moe", (64, 96, 2, 4, 4)),
     ("gemma4", (64, 160, 4, 4, 4))],
)  # fmt: skip
def test_logits_are_the_engines(
    kind: str, shape: tuple[int, ...], tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    tiny_llama = benchmark_module("tiny_llama")
    tiny = tiny_llama.Tiny(kind, 1, *shape, 16, 323, 1e4, True, kind=kind)
    tiny_llama.save(tiny, tmp_path / "hf")
    path = tmp_path / "m.gguf"
    halfbyte.convert(tmp_path / "hf", path, type="f32", measure=False)
    ids = np.random.default_rng(0).integers(3, 323, (2, 60))
    with GGUFFile.open(path) as file, halfbyte.load(path, threads=1, kv_type="f32") as model:
        floats = FloatModel(GGUFSource(file, config_from_gguf(file)))
        x = hidden_states(floats, ids)
        assert x.shape[-1] == floats.carried.width
        assert (floats.carried.width > tiny.dim) == (kind == "gemma4_e")
        for window, logits in zip(ids, floats.logits(x), strict=True):
            expected = model.logits(window.tolist())
            assert np.abs(logits - expected).max() < 1e-4 * np.abs(expected).max()
