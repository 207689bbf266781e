"""Files of llama.cpp's converter: the same tensors, settings and logits as those converted here.

What it cannot convert is left out: Gemma 4 unified, biases of convolutions, Nemotron-H without
experts, whose settings transformers 5 fills with some. It drops windows of Mistral and StarCoder2,
and the rotation of Granite's hybrids: checkpoints here have none.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest
from numpy.typing import NDArray

import halfbyte
from tests.oracles.llama_cpp_answers import words

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
_ROTATED = (128, 160, 2, 4, 2, 32)
_SMALL = (64, 96, 2, 4, 2, 16)
_S = "sliding_attention"

# kind: (dim, hidden, layers, heads, kv heads, head_dim), tied, changes to config.json
CASES: dict[str, tuple[tuple[int, ...], bool, dict[str, Any]]] = {
    "llama": (_ROTATED, False, {}),
    "llama3": ((64, 96, 2, 4, 2, 32), True, {}),
    "llama_biases": (_SMALL, False, {}),
    "linear": (_SMALL, False, {}),
    "yarn": (_ROTATED, True, {}),
    "mistral": (_SMALL, False, {"sliding_window": None}),
    "mixtral": ((96, 128, 2, 4, 2, 24), False, {}),
    "ministral3": (_ROTATED, False, {}),
    "qwen2": (_ROTATED, True, {}),
    "qwen2_moe": (_ROTATED, False, {}),
    "qwen3": ((128, 160, 2, 4, 2, 48), True, {}),
    "qwen3_moe": ((128, 160, 2, 4, 2, 48), False, {}),
    "qwen3_next": ((128, 160, 4, 4, 2, 32), False, {}),
    "qwen3_5_text": ((128, 160, 4, 4, 2, 32), False, {}),
    "qwen3_5_moe_text": ((128, 160, 4, 4, 2, 32), False, {}),
    "phi3": (_ROTATED, False, {}),
    "smollm3": ((96, 128, 4, 4, 2, 24), True, {}),
    "starcoder": ((64, 256, 2, 4, 1, 16), True, {}),
    "starcoder2": ((64, 160, 2, 4, 2, 16), True, {"sliding_window": None}),
    "gemma": ((64, 160, 2, 4, 1, 32), True, {}),
    "gemma2": ((64, 160, 2, 4, 2, 32), True, {"query_pre_attn_scalar": 32}),
    "gemma3": ((64, 160, 7, 4, 2, 32), True, {
        "query_pre_attn_scalar": 32, "layer_types": [*5 * [_S], "full_attention", _S]}),
    "gemma4": ((64, 160, 4, 4, 4, 16), True, {}),
    "gemma4_e": ((64, 96, 6, 4, 2, 16), True, {}),
    "gemma4_moe": ((64, 96, 2, 4, 4, 16), True, {}),
    "granite": (_SMALL, True, {}),
    "granitemoe": ((64, 32, 2, 4, 2, 16), True, {}),
    "granitemoeshared": ((64, 32, 2, 4, 2, 16), True, {}),
    "granitehybrid": ((64, 96, 3, 4, 2, 16), True, {}),
    "granitehybrid_moe": ((64, 32, 2, 4, 2, 16), True, {"position_embedding_type": "nope"}),
    "nemotron_h_moe": ((64, 96, 5, 4, 2, 16), False, {"mamba_d_head": 20}),
    "lfm2": ((64, 96, 3, 4, 2, 16), True, {}),
    "lfm2_moe": ((64, 96, 4, 4, 2, 16), True, {}),
    "olmo2": (_SMALL, False, {}),
    "olmo3": ((64, 96, 4, 4, 2, 16), False, {}),
    "exaone4": ((64, 96, 64, 4, 2, 16), False, {}),
    "exaone4_small": (_SMALL, True, {}),
    "cohere2": ((64, 96, 4, 4, 2, 16), True, {}),
    "seed_oss": ((64, 96, 2, 4, 2, 32), False, {}),
    "ernie4_5": (_SMALL, True, {}),
    "ernie4_5_moe": ((64, 128, 2, 4, 2, 16), True, {}),
    "glm4": ((64, 96, 2, 4, 2, 32), False, {}),
    "glm4_moe": ((64, 96, 2, 4, 2, 32), False, {}),
    "glm4_moe_lite": ((128, 160, 2, 4, 4, 16), False, {}),
    "deepseek_v2": ((128, 160, 2, 4, 4, 16), False, {}),
    "deepseek_v3": ((128, 160, 2, 4, 4, 16), False, {}),
    "youtu": ((128, 160, 2, 4, 4, 16), True, {}),
    "mellum": ((64, 96, 2, 4, 2, 32), False, {}),
    "laguna": (_SMALL, False, {}),
    "gpt_oss": ((128, 96, 2, 4, 2, 32), False, {}),
    "apertus": ((64, 160, 2, 4, 2, 16), False, {}),
}  # fmt: skip
# What is not said there, or otherwise: hybrids have a context of 2 ** 20.
_SAID = {"gemma2": "attention_scale", "gemma3": "attention_scale", "gemma4_moe": "experts",
         "granitehybrid": "n_ctx_train", "granitehybrid_moe": "n_ctx_train",
         "nemotron_h_moe": "n_ctx_train"}  # fmt: skip
# Gemma's base of rotation is not said either.
_THETA = {"gemma": 1e4, "gemma2": 1e4}
# Each has its own cosine of wave lengths and e ** x of decays.
_NEAR = ("rope_freqs.weight", "ssm_a")


@pytest.fixture(scope="module")
def folders(
    torch_python: Path, llama_cpp_sources: Path, benchmark_module: Callable[[str], ModuleType],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """A checkpoint for each kind, and what their converter makes of it."""
    out, tiny_llama = tmp_path_factory.mktemp("converter"), benchmark_module("tiny_llama")
    for seed, (kind, (shape, tied, changes)) in enumerate(CASES.items()):
        tiny = tiny_llama.Tiny(kind, seed, *shape, 331, _THETA.get(kind, 1e6), tied, kind=kind)
        tiny_llama.save(tiny, out / kind)
        path = out / kind / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    script, path = ROOT / "benchmarks" / "llama_cpp_converter.py", llama_cpp_sources
    subprocess.run(
        [torch_python, "-P", script, *[out / kind for kind in CASES]], check=True,
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{path / 'gguf-py'}"},
    )  # fmt: skip
    return out


@pytest.mark.parametrize("kind", CASES)
def test_its_file_is_the_same_model(kind: str, folders: Path) -> None:
    theirs, ours = folders / f"{kind}.gguf", folders / f"{kind}-ours.gguf"
    halfbyte.convert(folders / kind, ours, type="f32", measure=False)
    made, wanted = (_tensors(path) for path in (ours, theirs))
    assert set(made) == set(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(made[name], values, rtol=1e-6 * name.endswith(_NEAR))
    ids = words(99)
    with halfbyte.load(theirs, threads=2) as a, halfbyte.load(ours, threads=2) as b:
        said = {name: getattr(a.config, name) for name in ("name", _SAID.get(kind, "name"))}
        assert a.config == replace(b.config, **said)
        found, expected = b.logits(ids), a.logits(ids)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
    if not any(name.endswith(_NEAR) for name in wanted):
        np.testing.assert_array_equal(found, expected)


def _tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Those of a file; of gates and projections in one tensor, both."""
    found: dict[str, NDArray[Any]] = {}
    for tensor in gguf.GGUFReader(path).tensors:
        if ".ffn_gate_up_exps." in tensor.name:
            names = (tensor.name.replace("gate_up", part) for part in ("gate", "up"))
            found.update(zip(names, np.split(tensor.data, 2, axis=1), strict=True))
        else:
            found[tensor.name] = tensor.data
    return found
