"""Tensors of a shape that stay floats, with values that keep activations sane."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .shapes import Net, Shape, head_sizes

Valued = tuple[str, NDArray[np.float32]]


def floats(shape: Shape) -> Iterator[Valued]:
    """Norms, and who chooses experts: at random, so that all are used alike."""
    rng, ones = np.random.default_rng(0), np.ones(shape.dim, np.float32)
    for i in range(shape.n_layers + shape.n_next):
        yield from _layer(shape, i, rng, ones)
    yield "token_embd_norm.weight" if shape.convolutions else "output_norm.weight", ones
    if shape.architecture == "starcoder2":
        yield "output_norm.bias", 0 * ones
    if shape.local:  # a quarter of each head is rotated
        pairs = shape.head_dim // 2
        yield (
            "rope_freqs.weight",
            np.repeat(np.float32([1, 1e30]), [pairs // 4, pairs - pairs // 4]),
        )


def _layer(
    shape: Shape, i: int, rng: np.random.Generator, ones: NDArray[np.float32]
) -> Iterator[Valued]:
    is_oss, is_gemma = shape.architecture == "gpt-oss", shape.architecture.startswith("gemma")
    yield f"blk.{i}.attn_norm.weight", ones
    if is_gemma:
        yield f"blk.{i}.post_attention_norm.weight", ones
        yield f"blk.{i}.post_ffw_norm.weight", ones
    if shape.local:
        yield f"blk.{i}.layer_output_scale.weight", ones[:1]
    if is_gemma or shape.architecture == "qwen3":
        d, _ = head_sizes(shape, i)  # of which scores are not scaled, in Gemma 4
        size = np.float32(d**-0.25 if shape.local else 1)
        yield f"blk.{i}.attn_q_norm.weight", size * ones[:d]
        yield f"blk.{i}.attn_k_norm.weight", size * ones[:d]
    if shape.architecture == "starcoder2":
        yield from _starcoder_biases(shape, i)
    name = "post_attention_norm" if is_oss or shape.net else "ffn_norm"
    yield f"blk.{i}.{name}.weight", ones
    if is_oss:
        yield from _biases(shape, i)
    elif shape.latent:
        yield f"blk.{i}.attn_q_a_norm.weight", ones[: shape.latent.q_rank]
        yield f"blk.{i}.attn_kv_a_norm.weight", ones[: shape.latent.rank]
        yield f"blk.{i}.exp_probs_b.bias", 0 * ones[: shape.n_experts]
    elif shape.convolutions[i : i + 1] == "c":
        yield f"blk.{i}.shortconv.conv.weight", np.full((shape.dim, 3), 0.6, np.float32)
    elif shape.net and shape.is_recurrent(i):
        yield from _net_floats(shape.net, f"blk.{i}.")
    elif shape.n_experts or shape.convolutions or shape.net:
        yield f"blk.{i}.attn_q_norm.weight", ones[: shape.head_dim]
        yield f"blk.{i}.attn_k_norm.weight", ones[: shape.head_dim]
    if shape.n_experts and not (shape.dense_dim and i == 0):
        if shape.convolutions:
            yield f"blk.{i}.exp_probs_b.bias", 0 * ones[: shape.n_experts]
        router = rng.standard_normal((shape.n_experts, shape.dim), np.float32)
        yield f"blk.{i}.ffn_gate_inp.weight", router / np.float32(shape.dim**0.5)
        if shape.net:
            yield f"blk.{i}.ffn_gate_inp_shexp.weight", 0 * ones
    for name in ("enorm", "hnorm", "shared_head_norm") if i >= shape.n_layers else ():
        yield f"blk.{i}.nextn.{name}.weight", ones


def _starcoder_biases(shape: Shape, i: int) -> Iterator[Valued]:
    """Biases of all projections and norms of a layer."""
    d = shape.head_dim
    for name, n in (
        ("attn_norm", shape.dim), ("ffn_norm", shape.dim), ("attn_output", shape.dim),
        ("attn_q", d * shape.n_heads), ("attn_k", d * shape.n_kv_heads),
        ("attn_v", d * shape.n_kv_heads), ("ffn_up", shape.hidden_dim), ("ffn_down", shape.dim),
    ):  # fmt: skip
        yield f"blk.{i}.{name}.bias", np.zeros(n, np.float32)


def _net_floats(net: Net, at: str) -> Iterator[Valued]:
    """What a delta net takes beside its matrices: it forgets half within 10 to 1000 tokens."""
    yield f"{at}ssm_conv1d.weight", np.full((net.channels, 4), 0.25, np.float32)
    yield f"{at}ssm_a", -np.geomspace(0.001, 0.1, net.n_values, dtype=np.float32)
    yield f"{at}ssm_dt.bias", np.zeros(net.n_values, np.float32)
    yield f"{at}ssm_norm.weight", np.ones(net.dim, np.float32)


def _biases(shape: Shape, i: int) -> Iterator[Valued]:
    """What a layer of gpt-oss adds, and its sinks."""
    q_dim, kv_dim, n = (
        shape.head_dim * shape.n_heads, shape.head_dim * shape.n_kv_heads, shape.n_experts
    )  # fmt: skip
    hidden, dim = shape.hidden_dim, shape.dim
    for name, dims in (
        ("attn_q", (q_dim,)), ("attn_k", (kv_dim,)), ("attn_v", (kv_dim,)), ("attn_output", (dim,)),
        ("ffn_gate_inp", (n,)), ("ffn_gate_exps", (n, hidden)), ("ffn_up_exps", (n, hidden)),
        ("ffn_down_exps", (n, dim)),
    ):  # fmt: skip
        yield f"blk.{i}.{name}.bias", np.full(dims, 0.01, np.float32)
    yield f"blk.{i}.attn_sinks.weight", np.zeros(shape.n_heads, np.float32)
