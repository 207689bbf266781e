"""Attention without a cache, and what makes its queries, keys and values."""

from __future__ import annotations

import numpy as np

from .model_file import F64, ModelFile, capped
from .rotation import frequencies_of, rotated


def attention(m: ModelFile, block: str, x: F64, layer: int) -> F64:
    """What a layer's attention makes of its normed input."""
    n, d = len(x), m.head_dim
    q, k, v = _qkv(m, block, x)
    is_gated = q.shape[1] == 2 * m.heads[layer] * d  # each head's gate behind its query
    if is_gated:
        q, gate = (y.reshape(n, -1) for y in np.split(q.reshape(n, -1, 2 * d), 2, axis=2))
    q = _normed_and_turned(m, block + "attn_q_norm", q, layer)
    k = _normed_and_turned(m, block + "attn_k_norm", k, layer)
    v = v.reshape(n, -1, d)
    q = q * (1 + m.temperature * np.log1p(np.arange(n) // m.n_ctx))[:, None, None]
    hidden = hidden_scores(n, 0 if m.sees_all[layer] else m.window)
    out = np.empty_like(q)
    for head in range(m.heads[layer]):
        kv_head = head // (m.heads[layer] // m.n_kv_heads)
        scores = q[:, head] @ k[:, kv_head].T * m.score_scale
        scores = capped(scores, m.score_cap) + hidden
        sink = -np.inf
        if block + "attn_sinks.weight" in m.tensors:
            sink = m.weight(block + "attn_sinks.weight")[head]
        out[:, head] = softmax(scores, sink) @ v[:, kv_head]
    if block + "attn_gate.weight" in m.tensors:
        gates = np.log1p(np.exp(m.linear(block + "attn_gate", x)))
        out = (out.reshape(n, gates.shape[1], -1) * gates[..., None]).reshape(out.shape)
    if is_gated:
        out = out.reshape(n, -1) / (1 + np.exp(-gate))
    return m.linear(block + "attn_output", out.reshape(n, -1))


def latent_attention(m: ModelFile, block: str, x: F64) -> F64:
    """Keys and values of all heads, made of a vector (arXiv:2405.04434): as it was trained."""
    n, at = len(x), m.qk_dim - m.n_rotated
    kv = m.linear(block + "attn_kv_a_mqa", x)
    if block + "attn_q_a.weight" in m.tensors:
        x = m.norm(block + "attn_q_a_norm", m.linear(block + "attn_q_a", x), 1e-6)
        q = m.linear(block + "attn_q_b", x)
    else:
        q = m.linear(block + "attn_q", x)
    q = q.reshape(n, m.n_heads, -1)
    c = m.norm(block + "attn_kv_a_norm", kv[:, : m.rank], 1e-6)
    q2, k2 = (rotated(m, y, m.frequencies, m.attention_factor)
              for y in (q[..., at:], kv[:, None, m.rank :]))  # fmt: skip
    heads = []
    k_b, v_b = (m.weight(f"{block}attn_{name}_b.weight") for name in "kv")
    for head in range(m.n_heads):
        scores = q[:, head, :at] @ (c @ k_b[head]).T + q2[:, head] @ k2[:, 0].T
        scores = scores * m.score_scale + hidden_scores(n)
        heads.append(softmax(scores) @ (c @ v_b[head].T))
    return m.linear(block + "attn_output", np.concatenate(heads, axis=1))


def hidden_scores(n: int, window: int = 0) -> F64:
    """What hides from n positions those after them, and those a window (0: none) behind: (n, n)."""
    hidden = np.triu(np.full((n, n), -np.inf), 1)
    return hidden + np.tril(np.full((n, n), -np.inf), -window) if window else hidden


def softmax(scores: F64, sink: float = -np.inf) -> F64:
    """Weights of rows of scores beside a sink that takes its share."""
    top = np.maximum(scores.max(-1, keepdims=True), sink)
    p = np.exp(scores - top)
    weights: F64 = p / (p.sum(-1, keepdims=True) + np.exp(sink - top))
    return weights


def _qkv(m: ModelFile, block: str, x: F64) -> list[F64]:
    if block + "attn_qkv.weight" not in m.tensors:
        return [m.linear(f"{block}attn_{name}", x) for name in "qkv"]
    q, kv = (n * m.head_dim for n in (m.n_heads, m.n_kv_heads))
    return np.split(m.linear(block + "attn_qkv", x), [q, q + kv], axis=1)


def _normed_and_turned(m: ModelFile, norm: str, x: F64, layer: int) -> F64:
    """Heads of queries or keys, (n, heads, head_dim), by a norm of all or of each, and RoPE."""
    is_whole = norm + ".weight" in m.tensors and len(m.weight(norm + ".weight")) > m.head_dim
    x = m.norm(norm, x) if is_whole else x
    x = x.reshape(len(x), -1, m.head_dim)
    x = x if is_whole else m.norm(norm, x)
    frequencies = frequencies_of(m, layer)
    factor = 1.0 if frequencies is m.local_frequencies else m.attention_factor
    return x if frequencies is None else rotated(m, x, frequencies, factor)
