"""What several families have: tensors of a layer, names and shapes, (out, in)."""

from __future__ import annotations

from collections.abc import Iterator

from .spec import Config, Named, Tiny

GRANITE: Config = {
    "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "logits_scaling": 4.0,
    "attention_multiplier": 0.15,
}  # fmt: skip


def linear(name: str, rows: int, columns: int, bias: bool) -> Iterator[Named]:
    """A matrix, and its bias if it has one."""
    yield f"{name}.weight", (rows, columns)
    if bias:
        yield f"{name}.bias", (rows,)


def network(name: str, dim: int, width: int) -> Iterator[Named]:
    """A network with gates."""
    for kind in ("gate", "up"):
        yield f"{name}.{kind}_proj.weight", (width, dim)
    yield f"{name}.down_proj.weight", (dim, width)


def plain_network(name: str, dim: int, width: int) -> Iterator[Named]:
    """A network without gates."""
    yield f"{name}.up_proj.weight", (width, dim)
    yield f"{name}.down_proj.weight", (dim, width)


def attention(tiny: Tiny, name: str) -> Iterator[Named]:
    """Projections of attention."""
    q, kv = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
    for kind, rows in (("q", q), ("k", kv), ("v", kv)):
        yield f"{name}.{kind}_proj.weight", (rows, tiny.dim)
    yield f"{name}.o_proj.weight", (tiny.dim, q)


def norm(tiny: Tiny, name: str) -> Iterator[Named]:
    """A norm without a bias, as wide as the model."""
    yield f"{name}.weight", (tiny.dim,)


def granite_experts(tiny: Tiny, n: int, shared: int) -> Iterator[Named]:
    """Granite's router and n experts, if there are any, and a network of all tokens."""
    width = tiny.hidden_dim
    if n:
        yield "block_sparse_moe.router.layer.weight", (n, tiny.dim)
        yield "block_sparse_moe.input_linear.weight", (n, 2 * width, tiny.dim)
        yield "block_sparse_moe.output_linear.weight", (n, tiny.dim, width)
    if shared:
        yield "shared_mlp.input_linear.weight", (2 * shared, tiny.dim)
        yield "shared_mlp.output_linear.weight", (tiny.dim, shared)
