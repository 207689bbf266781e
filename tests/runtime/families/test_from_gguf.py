"""Hyperparameters: read as they stand, refused when missing, out of range or not supported."""

from __future__ import annotations

import re
from pathlib import Path

import gguf
import numpy as np
import pytest

from halfbyte.errors import HalfbyteError, ModelFileError, UnsupportedModelError
from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile

GOOD: dict[str, object] = {
    "llama.context_length": 16384,
    "llama.embedding_length": 96,
    "llama.block_count": 3,
    "llama.feed_forward_length": 200,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-6,
    "llama.rope.freq_base": 1e6,
}


def read(tmp_path: Path, changes: dict[str, object], architecture: str = "llama") -> ModelConfig:
    path = tmp_path / "config.gguf"
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in (GOOD | changes).items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
    writer.add_token_list([b"a", b"b", b"c"])
    writer.add_tensor("t", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with GGUFFile.open(path) as file:
        return config_from_gguf(file)


def test_everything_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, {"general.name": "Code Llama"})
    assert (config.dim, config.hidden_dim, config.n_layers) == (96, 200, 3)
    assert (config.n_heads, config.n_kv_heads, config.head_dim) == (4, 2, 24)
    assert (config.vocab_size, config.n_ctx_train, config.name) == (3, 16384, "Code Llama")
    assert config.norm_eps == np.float32(1e-6)
    assert config.rope.theta == 1e6


def test_what_absence_means(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = read(tmp_path, {"llama.attention.head_count_kv": None, "llama.rope.freq_base": None})
    assert config.n_kv_heads == 4
    assert config.rope.theta == 10000.0
    assert "rope.freq_base" in caplog.text


def test_code_llama_without_its_base_is_refused(tmp_path: Path) -> None:
    changes = {"general.name": "codellama_7b", "llama.rope.freq_base": None}
    with pytest.raises(ModelFileError, match="old converter"):
        read(tmp_path, changes)


def test_a_head_dimension_of_its_own(tmp_path: Path) -> None:
    lengths = {"llama.attention.key_length": 32, "llama.attention.value_length": 32}
    assert read(tmp_path, lengths).head_dim == 32


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, None) for key in GOOD if "head_count_kv" not in key and "freq_base" not in key),
        ("llama.block_count", 0),
        ("llama.block_count", 2**31),
        ("llama.embedding_length", 2**32 - 1),
        ("llama.embedding_length", "96"),
        ("llama.embedding_length", 96.0),
        ("llama.attention.head_count", 10),
        ("llama.attention.head_count", True),
        ("llama.attention.head_count_kv", 3),
        ("llama.attention.head_count_kv", 0),
        ("llama.attention.layer_norm_rms_epsilon", 0.0),
        ("llama.attention.layer_norm_rms_epsilon", float("nan")),
        ("llama.rope.freq_base", float("inf")),
        ("llama.rope.freq_base", -1.0),
        ("llama.vocab_size", 4),
        ("llama.context_length", 0),
    ],
)
def test_missing_mistyped_and_impossible_numbers(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(ModelFileError) as caught:
        read(tmp_path, {key: value})
    assert caught.value.field == key


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("llama.rope.scaling.type", "dynamic"),
        ("llama.rope.scaling.attn_factor", 1.2),
        ("llama.expert_used_count", 2),
        ("llama.rope.dimension_count", 12),
        ("llama.attention.value_length", 16),
        ("llama.attention.key_length", 14),
        ("llama.attention.key_length", 33),
        ("llama.embedding_length_out", 48),
        ("llama.attention.causal", False),
    ],
)
def test_variations_that_do_not_run_are_named(tmp_path: Path, key: str, value: object) -> None:
    with pytest.raises(UnsupportedModelError):
        read(tmp_path, {key: value})


def test_too_many_heads_for_one_key_are_refused(tmp_path: Path) -> None:
    heads = {"llama.embedding_length": 16 * 65, "llama.attention.head_count": 65}
    with pytest.raises(UnsupportedModelError, match="at most 64"):
        read(tmp_path, heads | {"llama.attention.head_count_kv": 1})


def test_neutral_variations_run(tmp_path: Path) -> None:
    neutral = {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 1.0}
    assert read(tmp_path, neutral | {"llama.expert_count": 0}).dim == 96


@pytest.mark.parametrize(
    ("keys", "factor"),
    [
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, 4),
        ({"rope.scale_linear": 4.0}, 4),
        ({"rope.scaling.factor": 4.0}, 4),
        ({"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, 1),
        ({"rope.scaling.type": "none", "rope.scale_linear": 4.0}, 1),
        ({"rope.scaling.type": "linear", "rope.scale_linear": 4.0}, 4),
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 0.0}, 1),
        ({"rope.scaling.factor": 0.0, "rope.scale_linear": 4.0}, 1),
        ({"rope.scaling.type": "linear"}, 1),
    ],
)
def test_linear_scaling_is_llama_cpps(
    tmp_path: Path, keys: dict[str, object], factor: float
) -> None:
    rope = read(tmp_path, {f"llama.{key}": value for key, value in keys.items()}).rope
    assert rope.factor == factor
    plain = rope.theta ** (-np.arange(0, 32, 2) / 32)
    assert np.allclose(rope.frequencies(32), plain / factor, rtol=1e-15)


@pytest.mark.parametrize("factor", [-1.0, float("inf"), float("nan")])
def test_factors_that_cannot_be(tmp_path: Path, factor: float) -> None:
    with pytest.raises(ModelFileError, match=r"rope\.scaling\.factor"):
        read(tmp_path, {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": factor})


def keys_of(architecture: str, *left_out: str, **more: object) -> dict[str, object]:
    """GOOD as another architecture has it."""
    keys = {key.partition(".")[2]: value for key, value in GOOD.items()}
    keys |= {"attention.layer_norm_epsilon": 1e-5, **more}
    return {f"{architecture}.{key}": value for key, value in keys.items() if key not in left_out}


@pytest.mark.parametrize(
    ("architecture", "name"), [("gemma", "Codegemma 2b"), ("starcoder", "Starcoderbase 1b")]
)
def test_only_code_llamas_files_are_of_an_old_converter(
    tmp_path: Path, architecture: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """llama.cpp's converter writes no base for these two, whose names have "code" in them."""
    keys = keys_of(architecture, "rope.freq_base")
    assert read(tmp_path, {**keys, "general.name": name}, architecture).rope.theta == 10000
    assert caplog.text == ""
    with pytest.raises(ModelFileError, match=r"rope\.freq_base"):
        read(tmp_path, {"general.name": "codellama_7b", "llama.rope.freq_base": None})
    with pytest.raises(ModelFileError, match=r"rope\.freq_base"):
        read(
            tmp_path,
            keys_of("gemma3", "rope.freq_base", **{"attention.sliding_window": 9}),
            "gemma3",
        )


def test_what_no_layer_rotates_by_is_not_read(tmp_path: Path) -> None:
    keys = keys_of("starcoder", **{"rope.scaling.type": "longrope"})
    assert read(tmp_path, keys, "starcoder").rope.longrope is None


def test_a_log_multiplier_of_0_says_nothing(tmp_path: Path) -> None:
    """Which llama.cpp's converter writes where Mistral's own files say apply_scale."""
    yarn: dict[str, object] = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
    zero = read(tmp_path, keys_of("mistral3", **yarn, **{"rope.scaling.yarn_log_multiplier": 0.0}),
                "mistral3")  # fmt: skip
    assert zero.rope == read(tmp_path, keys_of("mistral3", **yarn), "mistral3").rope


def test_olmo_3_is_not_taken_for_its_forerunner(tmp_path: Path) -> None:
    """GGUF has one architecture for both; the later one has windows, and two ways to rotate."""
    yarn: dict[str, object] = {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0}
    older = read(tmp_path, keys_of("olmo2"), "olmo2")
    assert (older.sliding_window, older.sliding_layers, older.local_rope) == (0, (), None)
    window = {"attention.sliding_window": 4096}
    newer = read(tmp_path, keys_of("olmo2", **window, **yarn, block_count=5), "olmo2")
    assert newer.sliding_layers == (True, True, True, False, True)
    assert newer.rope_of(3) == newer.rope and newer.rope.yarn is not None
    assert newer.rope_of(0) == RopeConfig(newer.rope.theta)
    stated = {**window, "attention.sliding_window_pattern": [False, True, True]}
    assert read(tmp_path, keys_of("olmo2", **stated), "olmo2").sliding_layers == (False, True, True)
    for wrong in ([True], [1.0, 0.0, 1.0], 0):
        stated["attention.sliding_window_pattern"] = wrong
        with pytest.raises(ModelFileError, match="sliding_window_pattern"):
            read(tmp_path, keys_of("olmo2", **stated), "olmo2")


def test_exaone_rotates_where_its_windows_are(tmp_path: Path) -> None:
    small = read(tmp_path, keys_of("exaone4"), "exaone4")
    assert (small.sliding_window, small.sliding_layers, small.rope_layers) == (0, (), ())
    with pytest.raises(ModelFileError, match="sliding_window"):
        read(tmp_path, keys_of("exaone4", **{"attention.sliding_window": 0}), "exaone4")
    window = {"attention.sliding_window": 4096, "rope.freq_base_swa": 1e6}
    large = read(tmp_path, keys_of("exaone4", **window, block_count=5), "exaone4")
    assert large.rope_layers == large.sliding_layers == (True, True, True, False, True)
    assert large.rope_of(3) is None and large.rope_of(4) == large.rope
    with pytest.raises(UnsupportedModelError, match="freq_base_swa"):
        read(tmp_path, keys_of("exaone4", **window | {"rope.freq_base_swa": 1e4}), "exaone4")


def test_granite_without_rotation_is_refused(tmp_path: Path) -> None:
    for is_rotated in ({}, {"rope.scaling.finetuned": True}):
        assert read(tmp_path, keys_of("granite", **is_rotated), "granite").n_layers == 3
    with pytest.raises(UnsupportedModelError, match="finetuned"):
        read(tmp_path, keys_of("granite", **{"rope.scaling.finetuned": False}), "granite")


SAVED: dict[str, object] = {"token_shift_count": 0, "ssm.dt_b_c_rms": False}


@pytest.mark.parametrize(("architecture", "cap"), [("gemma2", 50.0), ("gemma3", 0.0)])
def test_a_cap_that_llama_cpps_saver_states_of_all_models(
    tmp_path: Path, architecture: str, cap: float
) -> None:
    keys = {"attention.sliding_window": 64, "attn_logit_softcapping": 50.0}
    assert read(tmp_path, keys_of(architecture, **keys), architecture).attn_softcap == 50.0
    assert read(tmp_path, keys_of(architecture, **keys, **SAVED), architecture).attn_softcap == cap


@pytest.mark.parametrize("scale", [0.0, 24**-0.5])
def test_the_usual_scale_of_scores(tmp_path: Path, scale: float) -> None:
    assert read(tmp_path, {"llama.attention.scale": scale}).head_dim == 24
    with pytest.raises(UnsupportedModelError, match=r"attention\.scale"):
        read(tmp_path, {"llama.attention.scale": 0.015625})


def test_numbers_for_each_layer(tmp_path: Path) -> None:
    counts = ("feed_forward_length", "attention.head_count", "attention.head_count_kv")
    config = read(tmp_path, {f"llama.{key}": [4, 4, 4] for key in counts})
    assert (config.hidden_dim, config.n_heads, config.n_kv_heads) == (4, 4, 4)
    for key in (f"llama.{count}" for count in counts):
        with pytest.raises(UnsupportedModelError, match="one number for all layers"):
            read(tmp_path, {key: [4, 2, 4]})
        for values in ([-4, -4, -4], [2**31 - 1] * 3):
            with pytest.raises(ModelFileError, match="from 1 to"):
                read(tmp_path, {key: values})
        for values in ([4, 4], [4, 4, 4, 4], [4]):
            with pytest.raises(ModelFileError, match="one for each of 3 layers") as caught:
                read(tmp_path, {key: values})
            assert caught.value.field == key


def test_other_architectures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="mamba"):
        read(tmp_path, {}, architecture="mamba")


NUMBERS = [
    ("glm4moe", "expert_count"), ("glm4moe", "expert_weights_scale"),
    ("qwen2", "rope.scaling.factor"), ("granite", "residual_scale"), ("llama", "attention.scale"),
    ("laguna", "rope.freq_base_swa"), ("mistral3", "attention.temperature_scale"),
]  # fmt: skip


@pytest.mark.parametrize(("architecture", "key"), NUMBERS)
def test_a_list_or_a_truth_value_is_no_number(architecture: str, key: str, tmp_path: Path) -> None:
    experts = {"expert_count": 4, "expert_used_count": 2, "expert_shared_count": 1}
    more = experts if architecture in ("glm4moe", "laguna") else {}
    for value in ([1.0, 2.0], True, False):
        with pytest.raises(HalfbyteError, match=re.escape(key)):
            read(tmp_path, keys_of(architecture, **{**more, key: value}), architecture)


def test_what_would_change_nothing_is_refused(tmp_path: Path) -> None:
    experts = {"expert_count": 4, "expert_used_count": 2, "attention.sliding_window": 9}
    for key in ("leading_dense_block_count", "expert_shared_feed_forward_length"):
        with pytest.raises(UnsupportedModelError, match=f"{key}: expected none"):
            read(tmp_path, keys_of("gpt-oss", **experts, **{key: 2}), "gpt-oss")
    assert read(tmp_path, keys_of("gpt-oss", **experts), "gpt-oss").experts is not None
    every = keys_of("gpt-oss", **experts, leading_dense_block_count=3)
    with pytest.raises(UnsupportedModelError, match="leading_dense_block_count: expected none"):
        read(tmp_path, every, "gpt-oss")
    shared = {"expert_count": 4, "expert_used_count": 2, "expert_shared_count": 1}
    network = keys_of("glm4moe", **shared, leading_dense_block_count=3)  # in all layers
    assert read(tmp_path, network, "glm4moe").n_layers == 3
