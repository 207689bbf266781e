"""Sizes of layers that differ as GGUF files state them."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfbyte.engine.kv_cache import kv_layout
from halfbyte.errors import ModelFileError
from halfbyte.families.config import ModelConfig
from halfbyte.families.shared_layers import of_sharing_layers
from tests.runtime.families.test_from_gguf import read

GOOD = {
    "gemma4.context_length": 131072, "gemma4.embedding_length": 96, "gemma4.block_count": 6,
    "gemma4.feed_forward_length": [200, 200, 200, 400, 400, 400],
    "gemma4.attention.head_count": 4, "gemma4.attention.head_count_kv": [2, 2, 1, 2, 2, 1],
    "gemma4.attention.layer_norm_rms_epsilon": 1e-6, "gemma4.rope.freq_base": 1e6,
    "gemma4.rope.freq_base_swa": 1e4, "gemma4.rope.dimension_count": 64,
    "gemma4.rope.dimension_count_swa": 32, "gemma4.attention.key_length": 64,
    "gemma4.attention.value_length": 64, "gemma4.attention.key_length_swa": 32,
    "gemma4.attention.value_length_swa": 32, "gemma4.attention.sliding_window": 512,
    "gemma4.attention.sliding_window_pattern": [True, True, False] * 2,
    "gemma4.attention.shared_kv_layers": 3, "gemma4.embedding_length_per_layer_input": 64,
}  # fmt: skip


def _read(tmp_path: Path, **changes: object) -> ModelConfig:
    return read(tmp_path, GOOD | {f"gemma4.{k}": v for k, v in changes.items()}, "gemma4")


def test_each_layer_has_its_own(tmp_path: Path) -> None:
    c = _read(tmp_path)
    assert [c.head_dim_of(i) for i in range(6)] == [32, 32, 64] * 2
    assert [c.kv_heads_of(i) for i in range(6)] == [2, 2, 1] * 2
    assert [c.group_of(i) for i in range(6)] == [2, 2, 4] * 2
    assert [c.hidden_dim_of(i) for i in range(6)] == [200] * 3 + [400] * 3
    assert [c.kv_layer(i) for i in range(6)] == [0, 1, 2, 1, 1, 2]
    assert [c.kv_slot(i) for i in range(6)] == [0, 1, 2, 1, 1, 2]
    assert (c.hidden_dim, c.n_kv_heads, c.head_dim, c.q_dim, c.kv_dim) == (400, 1, 64, 256, 64)
    assert (c.rope.n_features, c.local_rope and c.local_rope.n_features) == (0, 32)
    assert (c.per_layer_dim, c.attention_scale, c.group) == (64, 1.0, 4)


def test_layers_that_share_keys_take_no_memory(tmp_path: Path) -> None:
    layout = kv_layout(_read(tmp_path), "f16", 512)
    assert [(run.n_layers, run.n_kv_heads, run.head_dim) for run in layout.runs] == [
        (2, 2, 32), (1, 1, 64),
    ]  # fmt: skip
    assert layout.nbytes(128) == 128 * 2 * 2 * (2 * 2 * 32 + 64)
    assert [layout.place(i)[0] for i in range(3)] == [i * 128 * 2 * 2 * 64 for i in range(3)]
    alike = _read(tmp_path, **{"attention.shared_kv_layers": 0})
    assert kv_layout(alike, "f16", 512).nbytes(128) == 2 * layout.nbytes(128)


def test_keys_that_nobody_reads_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    c = _read(tmp_path)
    names = ["blk.2.attn_k.weight", "blk.3.attn_k.weight", "blk.5.attn_v.weight",
             "blk.5.attn_q.weight", "model.layers.4.self_attn.k_norm.weight"]  # fmt: skip
    assert of_sharing_layers(names, "x", c) == {names[1], names[2], names[4]}
    assert "layers 3 and on read the keys of others: 3 tensors, blk.3" in caplog.text


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"attention.shared_kv_layers": 6}, "shared_kv_layers"),
        ({"attention.shared_kv_layers": 4}, "a layer without a window among the first 2"),
        ({"attention.head_count_kv": [2, 2, 1]}, "one for each of 6 layers"),
        ({"attention.head_count_kv": [2, 2, 3] * 2}, "divisors of the 4 heads"),
        ({"attention.head_count_kv": [2, 2, 1 << 21] * 2}, "head_count_kv: expected from 1"),
        ({"feed_forward_length": [1 << 30] * 6}, "feed_forward_length: expected from 1"),
        ({"attention.key_length": 1 << 30}, "key_length"),
        ({"attention.key_length": None}, "key_length"),
        ({"attention.key_length_swa": None}, "key_length_swa"),
        ({"attention.key_length_swa": 33, "attention.value_length_swa": 33}, "key_length_swa"),
        ({"attention.value_length_swa": 64}, "value_length_swa: expected the features of a key"),
        ({"attention.head_count": 1, "attention.head_count_kv": 1,
          "attention.key_length": 48, "attention.value_length": 48,
          "rope.dimension_count": 48}, "1 heads of a multiple of 32"),
        ({"attention.sliding_window_pattern": [True] * 5}, "one for each of 6 layers"),
        ({"embedding_length_per_layer_input": 33}, "0 or a multiple of 32"),
        ({"embedding_length_per_layer_input": 1 << 30}, "embedding_length_per_layer_input"),
        ({"rope.dimension_count_swa": 40}, "dimension_count_swa"),
    ],
)  # fmt: skip
def test_what_cannot_be(tmp_path: Path, changes: dict[str, object], match: str) -> None:
    with pytest.raises(ModelFileError, match=match):
        _read(tmp_path, **changes)
