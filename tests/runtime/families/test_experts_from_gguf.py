"""Experts as a GGUF file states them."""

from __future__ import annotations

from pathlib import Path

import pytest

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import ExpertsConfig
from tests.runtime.families.test_from_gguf import read

MOE = {
    "qwen2moe.context_length": 16384, "qwen2moe.embedding_length": 96,
    "qwen2moe.block_count": 3, "qwen2moe.feed_forward_length": 200,
    "qwen2moe.attention.head_count": 4, "qwen2moe.attention.layer_norm_rms_epsilon": 1e-6,
    "qwen2moe.rope.freq_base": 1e6, "qwen2moe.expert_count": 8, "qwen2moe.expert_used_count": 2,
}  # fmt: skip


def _read(tmp_path: Path, **changes: object) -> ExpertsConfig | None:
    changed = {f"qwen2moe.{key}": value for key, value in changes.items()}
    return read(tmp_path, MOE | changed, "qwen2moe").experts


def test_what_absence_means(tmp_path: Path) -> None:
    """As llama.cpp has it: those used are as wide as the layer together, a shared one alone."""
    assert _read(tmp_path) == ExpertsConfig(8, 2, 100, 0, 200, normalizes=False)


def test_what_is_stated(tmp_path: Path) -> None:
    found = _read(
        tmp_path, expert_feed_forward_length=64, expert_shared_feed_forward_length=128,
        expert_weights_norm=True, expert_weights_scale=2.5, expert_gating_func=2,
        expert_group_count=4, expert_group_used_count=2, leading_dense_block_count=1,
    )  # fmt: skip
    assert found == ExpertsConfig(8, 2, 64, 0, 128, 1, "sigmoid", True, 2.5, 4, 2)


def test_a_default_that_llama_cpps_saver_states(tmp_path: Path) -> None:
    """Its code divides the weights of Mixtral's experts by their sum, whatever it has written."""
    stated = {"llama.expert_count": 8, "llama.expert_used_count": 2,
              "llama.expert_weights_norm": False}  # fmt: skip
    saved = {"llama.token_shift_count": 0, "llama.ssm.dt_b_c_rms": False}
    for more, normalizes in (({}, False), (saved, True)):
        found = read(tmp_path, {**stated, **more}).experts
        assert found is not None and found.normalizes is normalizes


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("expert_used_count", 9), ("expert_used_count", 0), ("expert_count", 0),
        ("expert_group_count", 3), ("expert_feed_forward_length", 0),
        ("leading_dense_block_count", 4), ("expert_count", 5000),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be(tmp_path: Path, key: str, value: int) -> None:
    with pytest.raises(ModelFileError, match=key):
        _read(tmp_path, **{key: value})


def test_layers_without_experts(tmp_path: Path) -> None:
    """A key of our own, and ERNIE's, which no other architecture has."""
    found = read(tmp_path, {**MOE, "halfbyte.dense_layers": [0, 2]}, "qwen2moe").experts
    assert found is not None and found.dense_layers == (0, 2)
    with pytest.raises(ModelFileError, match="dense_layers"):
        read(tmp_path, {**MOE, "halfbyte.dense_layers": [3]}, "qwen2moe")
    ernie = {key.replace("qwen2moe", "ernie4_5-moe"): value for key, value in MOE.items()}
    step = {"ernie4_5-moe.interleave_moe_layer_step": 2, "ernie4_5-moe.expert_shared_count": 1}
    found = read(tmp_path, {**ernie, **step}, "ernie4_5-moe").experts
    assert found is not None and (found.dense_layers, found.shared_dim) == ((0, 2), 100)
    with pytest.raises(UnsupportedModelError, match="interleave_moe_layer_step"):
        _read(tmp_path, interleave_moe_layer_step=2)


def test_another_gating_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="expert_gating_func"):
        _read(tmp_path, expert_gating_func=4)


def test_llama_has_experts_where_it_says_so(tmp_path: Path) -> None:
    assert read(tmp_path, {"llama.expert_count": 0}).experts is None
    used = {"llama.expert_used_count": 2}
    assert read(tmp_path, {"llama.expert_count": 8, **used}).experts == ExpertsConfig(8, 2, 200)
    with pytest.raises(UnsupportedModelError, match="expert_used_count"):
        read(tmp_path, used)  # of how many?
