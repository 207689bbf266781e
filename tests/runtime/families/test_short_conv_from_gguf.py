"""Short convolutions as GGUF files state them, and which layers have keys and values."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfbyte.engine.kv_cache import kv_layout
from halfbyte.engine.state_layout import StateLayout
from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import ModelConfig
from halfbyte.families.short_conv_config import ShortConv
from tests.runtime.families.test_from_gguf import read

GOOD = {
    "lfm2.context_length": 128000, "lfm2.embedding_length": 72, "lfm2.block_count": 4,
    "lfm2.feed_forward_length": 96, "lfm2.attention.head_count": 4,
    "lfm2.attention.head_count_kv": [0, 2, 0, 2], "lfm2.attention.key_length": 24,
    "lfm2.attention.layer_norm_rms_epsilon": 1e-5, "lfm2.rope.freq_base": 1e6,
    "lfm2.shortconv.l_cache": 3,
}  # fmt: skip


def _read(tmp_path: Path, **changes: object) -> ModelConfig:
    return read(tmp_path, GOOD | {f"lfm2.{k}": v for k, v in changes.items()}, "lfm2")


def test_layers_without_kv_heads_are_convolutions(tmp_path: Path) -> None:
    config = _read(tmp_path)
    assert config.recurrent == ShortConv(72, 3)
    assert config.recurrent_layers == (True, False, True, False)
    assert [config.has_attention(i) for i in range(4)] == [False, True, False, True]
    assert [config.kv_slot(i) for i in (1, 3)] == [0, 1]
    assert (config.n_kv_heads, config.n_kv_layers) == (2, 2)


def test_only_layers_that_have_them_take_memory_for_keys(tmp_path: Path) -> None:
    config, all_of_them = _read(tmp_path), _read(tmp_path, **{"attention.head_count_kv": 2})
    nbytes = [kv_layout(c, "f16", 128).page_nbytes for c in (config, all_of_them)]
    assert 2 * nbytes[0] == nbytes[1]
    states = StateLayout.of(config)
    assert states is not None and StateLayout.of(all_of_them) is None
    # Two rows of 72 floats, in whole vectors of 16, for each of two layers.
    assert (states.nbytes, states.token_nbytes) == (2 * 2 * 320, 2 * 320)


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("shortconv.l_cache", 1, ModelFileError),
        ("shortconv.l_cache", 65, ModelFileError),
        ("shortconv.l_cache", 2**32 - 1, ModelFileError),
        ("attention.head_count_kv", [0, 2, 0], ModelFileError),
        ("attention.head_count_kv", [0, 0, 0, 0], UnsupportedModelError),
        ("attention.head_count_kv", [0, 2, 1, 2], UnsupportedModelError),
        ("attention.head_count_kv", [0, 3, 0, 3], ModelFileError),
        ("attention.causal", False, UnsupportedModelError),
        ("feed_forward_length", [96, 0, 96, 96], ModelFileError),
        ("feed_forward_length", [96, 96, 96], ModelFileError),
    ],
)  # fmt: skip
def test_what_is_refused_by_name(
    tmp_path: Path, key: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=key):
        _read(tmp_path, **{key: value})
