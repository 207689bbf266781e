"""Multi-head latent attention as stages and as tensors.

Source: DeepSeek-V2, arXiv:2405.04434; tensor names are GGUF's. A checkpoint has one matrix that
makes the keys and values of heads of a compressed vector. A file has two, a slice for each head:
attn_k_b, transposed, which queries are multiplied by, and attn_v_b. Files from before May 2025 have
the one (attn_kv_b), which is cut when they are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.latent_stages import KV_NORM, Compress, ProjectHeads
from halfbyte.families.stages import Attend, Norm, Project, Stage
from halfbyte.families.tensors import TensorSpec

K_B, V_B, KV_B = "attn_k_b", "attn_v_b", "attn_kv_b"
EPS = 1e-6  # of the norms of compressed vectors, whatever the model's is, as in transformers
_Q, _Q_A, _Q_B, _Q_NORM = "attn_q", "attn_q_a", "attn_q_b", "attn_q_a_norm"
_KV = "attn_kv_a_mqa"


def attention(c: ModelConfig, i: int) -> Iterator[Stage]:
    """x += attn_output(what each head makes of a mix of compressed vectors), of n = RMSNorm(x)."""
    m = _latent(c)
    yield Norm("attn_norm", layer=i)
    yield Project((_KV,), "normed", "kv", layer=i)
    if m.q_lora_rank:
        yield Project((_Q_A,), "normed", "q_a", layer=i)
        yield Norm(_Q_NORM, source="q_a", eps=EPS, layer=i)
    yield Project((_Q_B if m.q_lora_rank else _Q,), "normed", "q", layer=i)
    yield ProjectHeads(K_B, "q", "qkv", layer=i)
    yield Compress(EPS, layer=i)
    yield Attend(to="latents", layer=i)
    yield ProjectHeads(V_B, "latents", "attended", layer=i)
    yield blocks.joined(c, i, "attn_output", "attended", bias=False)


def attention_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """What `attention` takes."""
    m, at, hf = _latent(c), f"blk.{i}.", f"model.layers.{i}.self_attn."
    norm = f"model.layers.{i}.input_layernorm"
    yield from blocks.norm_tensors(f"{at}attn_norm", norm, c.dim)
    n_queries = c.n_heads * m.qk_dim
    if m.q_lora_rank:
        yield _matrix(at + _Q_A, f"{hf}q_a_proj", m.q_lora_rank, c.dim)
        yield from blocks.norm_tensors(at + _Q_NORM, f"{hf}q_a_layernorm", m.q_lora_rank)
        yield _matrix(at + _Q_B, f"{hf}q_b_proj", n_queries, m.q_lora_rank)
    else:
        yield _matrix(at + _Q, f"{hf}q_proj", n_queries, c.dim)
    yield _matrix(at + _KV, f"{hf}kv_a_proj_with_mqa", m.key_dim, c.dim)
    yield from blocks.norm_tensors(at + KV_NORM, f"{hf}kv_a_layernorm", m.kv_lora_rank)
    yield from _of_heads(m, c.n_heads, at, f"{hf}kv_b_proj")
    yield _matrix(f"{at}attn_output", f"{hf}o_proj", c.dim, c.attended_dim)


def split_kv_b(m: LatentConfig, kv_b: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """attn_kv_b (heads (nope_dim + value_dim), rank) as attn_k_b and attn_v_b, by these names."""
    heads = kv_b.reshape(-1, m.nope_dim + m.value_dim, m.kv_lora_rank)
    return {K_B: heads[:, : m.nope_dim].swapaxes(1, 2), V_B: heads[:, m.nope_dim :]}


def fused_name(name: str) -> str:
    """The tensor that has what one of these two has, in files where both are one; "": of none."""
    layer, _, short = name.removesuffix(".weight").rpartition(".")
    return f"{layer}.{KV_B}.weight" if short in (K_B, V_B) else ""


def _of_heads(m: LatentConfig, n: int, at: str, hf: str) -> Iterator[TensorSpec]:
    both = m.nope_dim + m.value_dim
    if m.is_fused:
        whole = _matrix(at + KV_B, hf, n * both, m.kv_lora_rank)
        yield replace(whole, heads=(n, m.nope_dim, m.value_dim))
        return
    # Which rows of each head's they are: convert/sources/head_tensors.py.
    k, v = f"[0:{m.nope_dim}/{both}T]", f"[{m.nope_dim}:{both}/{both}]"
    shapes = (n, m.kv_lora_rank, m.nope_dim), (n, m.value_dim, m.kv_lora_rank)
    for name, part, shape in zip((K_B, V_B), (k, v), shapes, strict=True):
        yield TensorSpec(f"{at}{name}.weight", f"{hf}.weight{part}", shape)


def _matrix(name: str, hf_name: str, n_rows: int, n_inputs: int) -> TensorSpec:
    return TensorSpec(f"{name}.weight", f"{hf_name}.weight", (n_rows, n_inputs))


def _latent(c: ModelConfig) -> LatentConfig:
    if c.latent is None:
        raise TypeError(f"{c.architecture}: a model without compressed keys")
    return c.latent
