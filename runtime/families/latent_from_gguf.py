"""Multi-head latent attention as a GGUF file states it.

Files from before May 2025 state the heads that a compressed vector is made into; newer ones state
what is kept, and these heads in keys of their own.

Source: llama.cpp's src/models/deepseek2.cpp, whose key for YaRN's mscale_all_dim has a tenth of it.
Where a file does not state it, cosines and sines grow as in transformers, and scores do not.
"""

from __future__ import annotations

from dataclasses import replace

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import (
    EXPERT_KEYS,
    LOG_MULTIPLIER_KEY,
    MAX_DIM,
    MIN_HEAD_DIM,
    ExpertsConfig,
    ModelConfig,
    RopeConfig,
)
from halfbyte.families.family import Family
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.metadata_keys import is_saved
from halfbyte.families.rope import yarn_attention_factor
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata

_PART = 0.1  # of mscale_all_dim


def read_latent(file: GGUFFile, family: Family, n_heads: int) -> LatentConfig:
    """The sizes of a model's compressed keys and values.

    Raises:
        ModelFileError: a number is missing, out of range, or contradicts another.
    """
    m, a = file.metadata, family.architecture

    def count(name: str, least: int = 1) -> int:
        return m.get_int(f"{a}.{name}", minimum=least, maximum=MAX_DIM)

    def stated(name: str, default: int) -> int:
        return m.get_int(f"{a}.{name}", default, maximum=MAX_DIM)

    rank, rope_dim = count("attention.kv_lora_rank", MIN_HEAD_DIM), count("rope.dimension_count", 2)
    is_fused = stated("attention.key_length_mla", 0) == 0
    own = "" if is_fused else "_mla"
    qk, value = (count(f"attention.{name}_length{own}") for name in ("key", "value"))
    if rope_dim % 2 or rope_dim >= qk:
        expected = f"an even number below the {qk} features of a query"
        raise ModelFileError(m.path, f"{a}.rope.dimension_count", expected=expected, got=rope_dim)
    wanted = {"attention.head_count_kv": n_heads if is_fused else 1}
    if not is_fused:
        wanted |= {"attention.key_length": rank + rope_dim, "attention.value_length": rank}
    for name, number in wanted.items():
        if stated(name, number) != number:
            expected, got = f"{number}, with compressed keys", stated(name, number)
            raise ModelFileError(m.path, f"{a}.{name}", expected=expected, got=got)
    # Some files of models without it state a rank.
    q_rank = 0 if "blk.0.attn_q.weight" in file.tensors else stated("attention.q_lora_rank", 0)
    return LatentConfig(q_rank, rank, qk - rope_dim, rope_dim, value, is_fused=is_fused)


def with_latents(
    file: GGUFFile, family: Family, config: ModelConfig, latent: LatentConfig
) -> ModelConfig:
    """A configuration with compressed keys, and with what goes along with them.

    Raises:
        UnsupportedModelError: positions are stretched in another way.
    """
    latent, rope = _stretched(file.metadata, family, latent, config.rope)
    experts = config.experts and _settled(file, family, config.experts)
    scale = latent.attention_scale(rope.factor)
    return replace(config, latent=latent, rope=rope, attention_scale=scale, experts=experts)


def _stretched(
    m: Metadata, family: Family, latent: LatentConfig, rope: RopeConfig
) -> tuple[LatentConfig, RopeConfig]:
    """Both with what YaRN does to scores."""
    at = f"{family.architecture}.rope.scaling"
    if rope.yarn is None:
        if rope.factor != 1 or rope.longrope is not None:
            got = m.get_str(f"{at}.type", "linear")
            raise UnsupportedModelError(m.path, f"{at}.type", expected="none or yarn", got=got)
        return latent, rope
    for key in (f"{at}.attn_factor", f"{at}.yarn_attn_factor"):
        if not is_saved(m, family.architecture) and m.get_float(key, 1.0) != 1:
            raise UnsupportedModelError(m.path, key, expected="1", got=m.get_float(key))
    key = f"{family.architecture}.{LOG_MULTIPLIER_KEY}"
    mscale = m.get_float(key) / _PART if m.states(key) else 0.0
    factor = 1.0 if mscale else yarn_attention_factor(rope.factor)
    yarn = replace(rope.yarn, attention_factor=factor)
    return replace(latent, mscale=mscale), replace(rope, yarn=yarn)


def _settled(file: GGUFFile, family: Family, e: ExpertsConfig) -> ExpertsConfig:
    """How experts are chosen, where a file leaves it open."""
    m, a = file.metadata, family.architecture
    key = f"{a}.{EXPERT_KEYS['gating']}"
    bias = f"blk.{e.n_dense_layers}.exp_probs_b.bias"
    # As the first files of GLM-4.7-Flash have it.
    if m.get_int(key, 0) == 0 and bias in file.tensors:
        e = replace(e, gating="sigmoid")
    return replace(e, n_group_best=2 if e.gating == "sigmoid" else 1)
