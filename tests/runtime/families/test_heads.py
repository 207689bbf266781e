"""Query heads by layer and gates, as both sides state them: Laguna's, and what goes with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from halfbyte.errors import ConversionError, HalfbyteError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.families.from_hf import config_from_hf
from halfbyte.gguf.file import GGUFFile

SLIDING, FULL = "sliding_attention", "full_attention"
STATED: dict[str, Any] = {
    "model_type": "laguna", "num_hidden_layers": 3, "num_key_value_heads": 2, "head_dim": 16,
    "hidden_size": 64, "layer_types": [FULL, SLIDING, SLIDING],
    "num_attention_heads_per_layer": [4, 6, 6], "mlp_layer_types": ["dense", "sparse", "sparse"],
    "rope_parameters": {
        FULL: {"rope_type": "yarn", "rope_theta": 5e5, "factor": 4.0, "partial_rotary_factor": 0.5,
               "original_max_position_embeddings": 64},
        SLIDING: {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
    },
}  # fmt: skip


def config(**stated: Any) -> ModelConfig:
    return config_from_hf(Path("model"), STATED | stated)


def test_a_checkpoint_says_it_by_layer() -> None:
    c = config()
    assert (c.n_heads, c.layer_heads) == (6, (4, 6, 6))
    assert [c.group_of(i) for i in range(3)] == [2, 3, 3] and c.q_dim_of(0) == 64
    assert [c.window(i) for i in range(3)] == [0, 512, 512]
    ropes = [c.rope_of(i) for i in range(2)]
    assert [one.n_features if one else None for one in ropes] == [8, 0]
    assert (c.gate_dim, config(gating="per-element").gate_dim) == (16, 1)
    assert c.experts is not None
    assert (c.experts.n_dense_layers, c.experts.gating, c.experts.shared_dim) == (1, "sigmoid", 512)
    assert config(num_attention_heads_per_layer=[6] * 3).layer_heads == ()
    alone = config_from_hf(Path("model"), {"model_type": "laguna", "num_hidden_layers": 2})
    assert (alone.sliding_layers, alone.n_heads) == ((False, False), 48)
    assert alone.rope.n_features == 64 and alone.rope.theta == 5e5
    assert alone.experts is not None and alone.experts.n_dense_layers == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_attention_heads_per_layer", [4, 6]), ("num_attention_heads_per_layer", [4, 5, 6]),
        ("num_attention_heads_per_layer", "4"), ("num_attention_heads_per_layer", [4, 6, 0]),
        ("gating", False), ("gating", "per-token"), ("sliding_window", None),
        ("mlp_layer_types", ["sparse", "dense", "sparse"]), ("mlp_layer_types", ["dense"] * 3),
        ("moe_router_logit_softcapping", 30.0), ("moe_apply_router_weight_on_input", True),
        ("attention_bias", True), ("layer_types", [FULL]),
        ("rope_parameters", {FULL: {"rope_theta": 1e4}}),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(key: str, value: object) -> None:
    with pytest.raises(ConversionError, match=key):
        config(**{key: value})


def read(path: Path, heads: list[int], rows: int, n_rotated: int = 16) -> ModelConfig:
    writer = gguf.GGUFWriter(path, "laguna")
    writer.add_context_length(256)
    writer.add_embedding_length(64)
    writer.add_block_count(3)
    writer.add_feed_forward_length(96)
    writer.add_head_count(heads)
    writer.add_head_count_kv(2)
    writer.add_key_length(16)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(5e5)
    writer.add_rope_dimension_count(8)
    writer.add_uint32("laguna.rope.dimension_count_swa", n_rotated)
    writer.add_sliding_window(32)
    writer.add_expert_count(8)
    writer.add_expert_used_count(2)
    writer.add_token_list([b"a", b"b"])
    writer.add_tensor("blk.0.attn_gate.weight", np.zeros((rows, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(path) as file:
        return config_from_gguf(file)


def test_a_file_says_it_by_layer(tmp_path: Path) -> None:
    """Of llama.cpp's converter, which leaves out which layers have the window."""
    c = read(tmp_path / "a.gguf", [4, 6, 6], 4)
    assert (c.layer_heads, c.n_heads, c.gate_dim) == ((4, 6, 6), 6, 16)
    assert c.sliding_layers == (False, True, True)
    assert c.rope.n_features == 8 and c.local_rope is not None and c.local_rope.n_features == 0
    assert c.local_rope.theta == c.rope.theta == 5e5
    assert read(tmp_path / "b.gguf", [4, 4, 4], 64).gate_dim == 1
    assert read(tmp_path / "c.gguf", [4, 4, 4], 4).layer_heads == ()


@pytest.mark.parametrize(
    ("heads", "rows", "named"),
    [([4, 6], 4, "head_count"), ([4, 5, 6], 4, "head_count"), ([4, 6, 6], 5, "attn_gate"),
     ([4, 0, 6], 4, "head_count")],
)  # fmt: skip
def test_files_that_cannot_be_are_refused(
    tmp_path: Path, heads: list[int], rows: int, named: str
) -> None:
    with pytest.raises(HalfbyteError, match=named):
        read(tmp_path / "a.gguf", heads, rows)
