"""Mamba-2's hybrids as GGUF files state them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import ModelConfig
from halfbyte.families.mamba2_config import Mamba2
from tests.runtime.families.test_from_gguf import read

SIZES = {
    "context_length": 4096, "embedding_length": 96, "attention.head_count": 4,
    "ssm.conv_kernel": 4, "ssm.inner_size": 192, "ssm.state_size": 32, "ssm.group_count": 2,
    "ssm.time_step_rank": 6,
}  # fmt: skip
GRANITE = {
    **SIZES, "block_count": 3, "feed_forward_length": 200, "rope.freq_base": 1e4,
    "attention.head_count_kv": [0, 2, 0], "attention.layer_norm_rms_epsilon": 1e-6,
    "rope.scaling.finetuned": False, "embedding_scale": 12.0,
}  # fmt: skip
NEMOTRON = {
    **SIZES, "block_count": 4, "feed_forward_length": [0, 0, 64, 0],
    "attention.head_count_kv": [0, 2, 0, 0], "attention.key_length": 32,
    "attention.layer_norm_epsilon": 1e-5,
}  # fmt: skip
EXPERTS = {"expert_count": 8, "expert_used_count": 2, "expert_feed_forward_length": 64,
           "expert_shared_feed_forward_length": 128, "expert_weights_scale": 2.5,
           "expert_weights_norm": True}  # fmt: skip
_GOOD = {"granitehybrid": GRANITE, "nemotron_h": NEMOTRON, "nemotron_h_moe": NEMOTRON | EXPERTS}


def _read(tmp_path: Path, kind: str, **changes: object) -> ModelConfig:
    stated = {**_GOOD[kind], **changes}
    return read(tmp_path, {f"{kind}.{key}": value for key, value in stated.items()
                           if value is not None}, kind)  # fmt: skip


def test_granite(tmp_path: Path) -> None:
    config = _read(tmp_path, "granitehybrid")
    assert config.recurrent == Mamba2(6, 32, 32, 2, 4)
    assert config.recurrent_layers == (True, False, True) and config.n_kv_layers == 1
    assert config.n_kv_heads == 2 and config.rope_of(1) is None
    assert _read(tmp_path, "granitehybrid", **{"rope.scaling.finetuned": None}).rope_of(1)
    assert _read(tmp_path, "granitehybrid", feed_forward_length=[200] * 3) == config
    # As llama.cpp's converter has it of models without experts.
    stated = {"expert_count": 0, "expert_used_count": 0, "expert_shared_feed_forward_length": 200}
    assert _read(tmp_path, "granitehybrid", **stated).experts is None


def test_nemotron(tmp_path: Path) -> None:
    config = _read(tmp_path, "nemotron_h")
    assert config.recurrent_layers == (True, False, False, True) and config.hidden_dim == 64
    assert config.attention_layers == (False, True, False, False) and config.norm_eps == np.float32(
        1e-5
    )
    assert config.network_layers == (False, False, True, False) and config.rope_of(1) is None
    more = {"attention.layer_norm_rms_epsilon": 1e-3}  # which then is the norms'
    assert _read(tmp_path, "nemotron_h", **more).norm_eps == pytest.approx(1e-3)
    e = _read(tmp_path, "nemotron_h_moe").experts
    assert e is not None and (e.gating, e.shared_dim, e.scale) == ("sigmoid", 128, 2.5)


def test_layers_that_guess_tokens_ahead_are_left_out(tmp_path: Path) -> None:
    ahead = {"block_count": 5, "nextn_predict_layers": 1, "feed_forward_length": [0, 0, 64, 0, 64],
             "attention.head_count_kv": [0, 2, 0, 0, 2]}  # fmt: skip
    assert _read(tmp_path, "nemotron_h_moe", **ahead) == _read(tmp_path, "nemotron_h_moe")


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("granitehybrid", "ssm.inner_size", 190), ("granitehybrid", "ssm.group_count", 4),
        ("granitehybrid", "ssm.conv_kernel", 1), ("granitehybrid", "ssm.state_size", 1 << 20),
        ("granitehybrid", "ssm.time_step_rank", None), ("granitehybrid", "ssm.conv_kernel", None),
        ("granitehybrid", "attention.head_count_kv", [0, 2]),
        ("granitehybrid", "attention.head_count_kv", [0, 2, 1]),
        # All layers have a network: neither is this one that does not attend.
        ("granitehybrid", "feed_forward_length", [0, 0, 200]),
        ("granitehybrid", "feed_forward_length", [200, 200]),
        ("nemotron_h", "feed_forward_length", [0, 64, 64, 0]),
        ("nemotron_h", "feed_forward_length", [0, 0, 64]),
        ("nemotron_h", "feed_forward_length", [0, 0, 0, 0]),
        ("nemotron_h_moe", "moe_latent_size", 32),
        ("nemotron_h_moe", "expert_used_count", [0, 0, 2, 0]),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(
    tmp_path: Path, kind: str, key: str, value: object
) -> None:
    with pytest.raises((ModelFileError, UnsupportedModelError), match=key):
        _read(tmp_path, kind, **{key: value})


def test_numbers_of_another_count_than_layers_are_refused(tmp_path: Path) -> None:
    heads = _read(tmp_path, "nemotron_h_moe", **{"attention.head_count": [4] * 4})
    assert heads.n_heads == 4
    for n in (1, 3, 5):
        with pytest.raises(ModelFileError, match="one for each of 4 layers") as caught:
            _read(tmp_path, "nemotron_h_moe", **{"attention.head_count": [4] * n})
        assert caught.value.field == "nemotron_h_moe.attention.head_count"
