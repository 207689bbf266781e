"""Random configurations that are accepted, against the models that transformers makes of them."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest

from halfbyte.errors import ConversionError
from halfbyte.families.from_hf import config_from_hf
from tests.runtime.families.test_rope_from_hf import check

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
N = 400
SHAPE = {"hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2,
         "intermediate_size": 96, "vocab_size": 100}  # fmt: skip
# Key -> values, of which most configurations have a few.
ROPE: dict[str, list[Any]] = {
    "rope_type": ["default", "linear", "llama3", "llama3", "yarn"],
    "type": ["default", "linear", "llama3", "dynamic"],
    "rope_theta": [1e4, 500000, 1e6],
    "factor": [1, 2.0, 8.0, 32],
    "low_freq_factor": [1.0, 2],
    "high_freq_factor": [4.0, 8],
    "original_max_position_embeddings": [32, 64, 8192],
    "partial_rotary_factor": [1.0, 1, 0.5],
    "attention_factor": [1.5],
    "mscale": [1.0],
}
OTHERS: dict[str, list[Any]] = {
    "head_dim": [16, 32, None],
    "num_key_value_heads": [1, 2, 4],
    "max_position_embeddings": [64, 2048, 131072],
    "rms_norm_eps": [1e-5, 1e-6],
    "rope_theta": [1e4, 250000.0],
    "original_max_position_embeddings": [32, 4096],
    "partial_rotary_factor": [1.0],
    "tie_word_embeddings": [True, False],
    "hidden_act": ["silu", "swish"],
    "attention_bias": [False, True],
    "mlp_bias": [False],
    "is_causal": [True],
    "pretraining_tp": [1, 2],
    "sliding_window": [None, 24],
    "use_sliding_window": [False, True],
    "max_window_layers": [0, 1, 2, 3],
    "layer_types": [["full_attention"] * 2, ["sliding_attention"] * 2,
                    ["full_attention", "sliding_attention"], ["attention"] * 2],
    "unsloth_version": ["1"],
    "moe_intermediate_size": [32],
}  # fmt: skip


def _some(draw: random.Random, table: dict[str, list[Any]], share: float) -> dict[str, Any]:
    return {key: draw.choice(values) for key, values in table.items() if draw.random() < share}


def _random(draw: random.Random) -> dict[str, Any]:
    kind = draw.choice(["llama", "mistral", "qwen2", "qwen3"])
    made = {"model_type": kind, **SHAPE, "num_key_value_heads": 2, **_some(draw, OTHERS, 0.2)}
    for key in ("rope_parameters", "rope_scaling"):
        if draw.random() < 0.4:
            made[key] = _some(draw, ROPE, 0.8) if draw.random() < 0.8 else {}
    return made


def test_what_is_accepted_is_what_transformers_computes(torch_python: Path, tmp_path: Path) -> None:
    draw, configs = random.Random(15), []
    while len(configs) < N:
        stated = _random(draw)
        try:
            config_from_hf(Path("model"), stated)
        except ConversionError:
            continue
        configs.append(stated)
    file = tmp_path / "configs.json"
    file.write_text(json.dumps([{"config": stated} for stated in configs]))
    subprocess.run([torch_python, ROOT / "benchmarks" / "config_peer.py", file], check=True)
    cases = json.loads(file.read_text())
    answered = [case for case in cases if case["answer"] is not None]
    for case in answered:
        check(case["config"], case["answer"])
    # transformers itself refuses some: a head_dim that is null, keys that are missing.
    assert len(answered) > N // 2
