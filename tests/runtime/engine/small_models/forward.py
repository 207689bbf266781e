"""The forward pass in float64, without a cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .computation import Computation
from .model import Model
from .networks import network
from .recurrence import mixing
from .rounding import F64
from .shapes import N_CTX


@dataclass
class Reference:
    """A forward pass in float64: the residual stream (T, dim) from the embedding on, each layer's
    attention weights (n_heads, T, T), and the logits (T, V).
    """

    states: list[F64]
    attentions: list[F64]
    normed: F64
    logits: F64


def reference_logits(model: Model, tokens: Sequence[int], *, rounds: bool = False) -> F64:
    """The logits of `reference`."""
    return reference(model, tokens, rounds=rounds).logits


def reference(model: Model, tokens: Sequence[int], *, rounds: bool = False) -> Reference:
    """The same model in float64 without a cache.

    With `rounds`, numbers are rounded where halfbyte says that it rounds more than floats do:
    8-bit inputs of quantized matrices (activations.py), keys and values as the cache keeps them.
    """
    m, c = Computation(model, len(tokens), rounds), model.config
    scale = c.dim**0.5 if c.architecture in ("gemma", "gemma4") else c.embedding_scale
    x = m.w["token_embd.weight"][tokens] * scale
    states, attentions = [x], []
    for i in range(c.n_layers):
        at, begun, weights = f"blk.{i}.", x, np.zeros((c.n_heads, m.n, m.n))
        h = m.norm(x, at + "attn_norm")
        norms = ["post_attention_norm", "ffn_norm"]
        if c.has_attention(i):
            y, weights = _attention(m, i, h)
            if c.architecture in (
                "gpt-oss",
                "qwen3next",
                "qwen35",
            ):  # whose only one is no ffn_norm
                norms.reverse()
            x = (
                x
                + m.norm(m.product(y, at + "attn_output.weight"), at + norms[0]) * c.residual_scale
            )
        else:
            if c.is_recurrent(i):
                x = x + mixing(m, h, at) * c.residual_scale
            names = ("ffn_norm", "post_attention_norm", "attn_norm")
            norms[1] = next(name for name in names if f"{at}{name}.weight" in m.w)
        attentions.append(weights)
        if c.architecture == "cohere2":  # whose network is beside attention
            x = x + network(m, begun, i, "attn_norm")
        elif c.has_network(i):
            x = x + network(m, x, i, norms[1]) * c.residual_scale
        x = x * m.w.get(at + "layer_output_scale.weight", 1)
        states.append(x)
    is_tied = "output.weight" not in m.w
    name = "token_embd.weight" if is_tied else "output.weight"
    last = "token_embd_norm" if "token_embd_norm.weight" in m.w else "output_norm"
    normed = m.norm(x, last)
    factor = c.logit_scale if c.architecture == "cohere2" else 1 / c.logit_scale
    logits = _capped(m.product(normed, name) * factor, c.final_softcap)
    return Reference(states, attentions, normed, logits)


def _attention(m: Computation, i: int, h: F64) -> tuple[F64, F64]:
    """What heads of layer i give before their last matrix, and their weights (n_heads, T, T)."""
    c, at, n = m.config, f"blk.{i}.", m.n
    m.seen[i] = h
    q, k, v = _latent_qkv(m, h, i) if c.latent else _qkv(m, h, i)
    position = np.arange(n)[:, None, None]
    if c.attention_window:
        position = position.clip(max=c.attention_window + c.attention_sinks - 1)
    if c.temperature:
        q = q * (1 + c.temperature.scale * np.log(1 + position // c.temperature.n_ctx))
    scale = c.attention_scale or c.head_dim**-0.5
    products = np.einsum("thd,shd->hts", m.kept(q, "q"), k)
    back, seen = np.arange(n)[:, None] - np.arange(n), c.own_window(i) or n
    is_hidden = (back < 0) | (back >= seen)
    if c.attention_window and not c.own_window(i):
        _renumber_positions(m, i, h, products, is_hidden)
    scores = _capped(products * scale, c.attn_softcap)
    scores = np.where(is_hidden, -np.inf, scores)
    sinks = m.w.get(at + "attn_sinks.weight", np.full(len(scores), -np.inf))[:, None, None]
    top = np.maximum(scores.max(-1, keepdims=True), sinks)
    weights = np.exp(scores - top)
    weights /= weights.sum(-1, keepdims=True) + np.exp(sinks - top)
    mixed = m.weighed(weights, v)
    if c.latent:
        mixed = _by_heads(m, mixed, at + "attn_v_b.weight")
    mixed = mixed.reshape(n, -1)
    if c.gate_dim:
        gates = np.log1p(np.exp(m.product(h, at + "attn_gate.weight")))
        mixed = mixed * gates.repeat(c.gate_dim, axis=1)
    if at + "attn_q_gate.weight" in m.w:
        mixed = mixed / (1 + np.exp(-m.product(h, at + "attn_q_gate.weight")))
    return mixed, np.pad(weights, ((0, c.n_heads - len(weights)), (0, 0), (0, 0)))


def _renumber_positions(
    m: Computation, i: int, h: F64, products: F64, is_hidden: NDArray[np.bool_]
) -> None:
    """Products of queries and keys where a window was asked for, as the paper on it defines them
    (arXiv:2309.17453, section 3.2): what is still seen counts as if nothing else had ever been.
    """
    c, n = m.config, m.n
    n_seen = c.attention_sinks + c.attention_window
    q, k, _ = _unrotated(m, h, i)
    if c.temperature:
        q = q * (1 + c.temperature.scale * np.log(1 + (n_seen - 1) // c.temperature.n_ctx))
    q = _rotated(m, q, i, np.full(n, n_seen - 1))
    for t in range(n_seen, n):
        kept = np.r_[0 : c.attention_sinks, t + 1 - c.attention_window : t + 1]
        keys = _shared(m, _rotated(m, k[kept], i, np.arange(n_seen)), i)
        products[:, t, kept] = np.einsum("hd,shd->hs", q[t], keys)
        is_hidden[t] = True
        is_hidden[t, kept] = False


def _qkv(m: Computation, h: F64, i: int) -> tuple[F64, F64, F64]:
    """Queries, keys and values of all heads, (T, n_heads, head_dim) each."""
    q, k, v = _unrotated(m, h, i)
    k, v = m.kept(_rotated(m, k, i), "k"), m.kept(v, "v")
    return _rotated(m, q, i), _shared(m, k, i), _shared(m, v, i)


def _unrotated(m: Computation, h: F64, i: int) -> tuple[F64, F64, F64]:
    """The same as they are before they know of positions, keys and values once each."""
    c, at, d, own = m.config, f"blk.{i}.", m.config.head_dim_of(i), m.config.kv_layer(i)
    other, seen = f"blk.{own}.", m.seen[own]  # whose keys and values it reads
    q, k = m.product(h, at + "attn_q.weight"), m.product(seen, other + "attn_k.weight")
    if c.values_are_keys(own):
        v = _as_in_files(m, k.reshape(m.n, -1, d), i)
    else:
        v = m.product(seen, other + "attn_v.weight")
    if c.architecture == "olmo2":  # norms of all heads together
        q, k = m.norm(q, at + "attn_q_norm"), m.norm(k, other + "attn_k_norm")
    q, k, v = (y.reshape(m.n, -1, d) for y in (q, k, v))
    if c.architecture != "olmo2":
        q, k = m.norm(q, at + "attn_q_norm"), m.norm(k, other + "attn_k_norm")
    if c.architecture == "gemma4":
        v = v / np.sqrt((v * v).mean(-1, keepdims=True) + c.norm_eps)
    return q, k, v


def _as_in_files(m: Computation, k: F64, i: int) -> F64:
    """Keys whose pairs are neighbours, in the order of files, where they are half a head apart."""
    r = _n_rotated(m, i)
    return np.concatenate([k[..., 0:r:2], k[..., 1:r:2], k[..., r:]], -1)


def _latent_qkv(m: Computation, h: F64, i: int) -> tuple[F64, F64, F64]:
    """Queries of all heads; the keys and values of the one that they share."""
    latent, at = m.config.latent, f"blk.{i}."
    kv = m.product(h, at + "attn_kv_a_mqa.weight")
    if latent.q_lora_rank:
        h = m.norm(m.product(h, at + "attn_q_a.weight"), at + "attn_q_a_norm", 1e-6)
    q = m.product(h, at + ("attn_q_b.weight" if latent.q_lora_rank else "attn_q.weight"))
    q = q.reshape(m.n, m.config.n_heads, -1)
    first = _by_heads(m, q[..., : latent.nope_dim], at + "attn_k_b.weight")
    latents = m.norm(kv[:, : latent.kv_lora_rank], at + "attn_kv_a_norm", 1e-6)[:, None]
    key = np.concatenate([latents, _rotated(m, kv[:, None, latent.kv_lora_rank :], i)], -1)
    q = np.concatenate([first, _rotated(m, q[..., latent.nope_dim :], i)], -1)
    key = _shared(m, m.kept(key, "k"), i)
    return q, key, key[..., : latent.kv_lora_rank]


def _by_heads(m: Computation, x: F64, name: str) -> F64:
    """Heads (T, heads, inputs), each times its own matrix."""
    return np.einsum("thi,hri->thr", *m.met(x, name))


def _shared(m: Computation, x: F64, i: int) -> F64:
    """Keys or values, once for each query head of layer i."""
    return x.repeat(m.config.heads_of(i) // m.config.kv_heads_of(i), axis=1)


def _rotated(m: Computation, x: F64, i: int, positions: NDArray[np.int64] | None = None) -> F64:
    """Heads (T, heads, features), turned by their positions as layer i does."""
    c = m.config
    one = c.rope_of(i)
    if one is None:
        return x
    factors = m.model.weights.rope_factors if one is c.rope else {}
    positions = np.arange(m.n) if positions is None else positions
    angles = positions[:, None] * one.frequencies(c.head_dim_of(i), N_CTX, factors)
    turns, r = np.exp(1j * angles)[:, None] * one.attention_factor, _n_rotated(m, i)
    turned = (x[..., 0:r:2] + 1j * x[..., 1:r:2]) * turns
    rotated = np.stack([turned.real, turned.imag], -1).reshape(*x.shape[:2], r)
    return np.concatenate([rotated, x[..., r:]], -1)


def _n_rotated(m: Computation, i: int) -> int:
    """How many of a head's features a layer turns."""
    one = m.config.rope_of(i)
    return (one and one.n_features) or m.config.head_dim_of(i)


def _capped(x: F64, cap: float) -> F64:
    return cap * np.tanh(x / cap) if cap else x
