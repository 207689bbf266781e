"""Matrices of a shape: names and sizes, in the order of the file."""

from __future__ import annotations

from collections.abc import Iterator

from .shapes import Latent, Net, Shape, head_sizes, is_local

Named = tuple[str, tuple[int, ...]]


def matrices(shape: Shape) -> Iterator[Named]:
    """Name and shape of each matrix, in the file's order."""
    dim = shape.dim
    yield "token_embd.weight", (shape.n_vocab, dim)
    for i in range(shape.n_layers + shape.n_next):
        n, end, hidden = (shape.n_experts,), "_exps", shape.hidden_dim
        if not shape.n_experts or (shape.dense_dim and i == 0):
            n, end, hidden = (), "", shape.dense_dim or shape.hidden_dim
        if shape.latent:
            yield from _latents(shape, shape.latent, f"blk.{i}.")
        elif shape.convolutions[i : i + 1] == "c":
            yield f"blk.{i}.shortconv.in_proj.weight", (3 * dim, dim)
            yield f"blk.{i}.shortconv.out_proj.weight", (dim, dim)
        elif shape.net and shape.is_recurrent(i):
            yield from _net(shape.net, dim, f"blk.{i}.")
        else:
            yield from _attention(shape, i)
        if shape.architecture != "starcoder2":
            yield f"blk.{i}.ffn_gate{end}.weight", (*n, hidden, dim)
        yield f"blk.{i}.ffn_up{end}.weight", (*n, hidden, dim)
        yield f"blk.{i}.ffn_down{end}.weight", (*n, dim, hidden)
        if shape.net and shape.n_experts:
            yield from _shared(shape, f"blk.{i}.")
        if i >= shape.n_layers:
            yield f"blk.{i}.nextn.eh_proj.weight", (dim, 2 * dim)
    if not shape.architecture.startswith("gemma"):
        yield "output.weight", (shape.n_vocab, dim)


def _attention(shape: Shape, i: int) -> Iterator[Named]:
    """Matrices of a layer's heads; values of Gemma 4's other layers are made of their keys."""
    head_dim, n_kv_heads = head_sizes(shape, i)
    q_dim, kv_dim, dim = head_dim * shape.n_heads, head_dim * n_kv_heads, shape.dim
    yield f"blk.{i}.attn_q.weight", (q_dim * (1 + (shape.net is not None)), dim)
    yield f"blk.{i}.attn_k.weight", (kv_dim, dim)
    if shape.local is None or is_local(shape, i):
        yield f"blk.{i}.attn_v.weight", (kv_dim, dim)
    yield f"blk.{i}.attn_output.weight", (dim, q_dim)


def _latents(shape: Shape, m: Latent, at: str) -> Iterator[Named]:
    n, dim = shape.n_heads, shape.dim
    yield f"{at}attn_q_a.weight", (m.q_rank, dim)
    yield f"{at}attn_q_b.weight", (n * (m.nope + m.rope), m.q_rank)
    yield f"{at}attn_kv_a_mqa.weight", (m.rank + m.rope, dim)
    yield f"{at}attn_k_b.weight", (n, m.rank, m.nope)
    yield f"{at}attn_v_b.weight", (n, m.value, m.rank)
    yield f"{at}attn_output.weight", (dim, n * m.value)
    yield from _shared(shape, at)


def _shared(shape: Shape, at: str) -> Iterator[Named]:
    for kind in ("gate", "up"):
        yield f"{at}ffn_{kind}_shexp.weight", (shape.hidden_dim, shape.dim)
    yield f"{at}ffn_down_shexp.weight", (shape.dim, shape.hidden_dim)


def _net(net: Net, dim: int, at: str) -> Iterator[Named]:
    yield f"{at}attn_qkv.weight", (net.channels, dim)
    yield f"{at}attn_gate.weight", (net.n_values * net.dim, dim)
    yield f"{at}ssm_beta.weight", (net.n_values, dim)
    yield f"{at}ssm_alpha.weight", (net.n_values, dim)
    yield f"{at}ssm_out.weight", (dim, net.n_values * net.dim)
