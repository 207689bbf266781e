"""All kinds of checkpoints, and the tensors of those whose layers are listed."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from . import decoders, delta_nets, gemma4, hybrids, latents, lfm2, relatives
from .spec import Config, Named, Tiny

_LISTED = (decoders, gemma4, latents, delta_nets, hybrids, lfm2)
# Kind -> its family, whose layers are listed, not drawn in an order of their own.
LISTED: dict[str, ModuleType] = {kind: family for family in _LISTED for kind in family.KINDS}
# What their config.json says otherwise.
KINDS: dict[str, Config] = {
    kind: stated for family in (relatives, *_LISTED) for kind, stated in family.KINDS.items()
}
NETS = tuple(delta_nets.KINDS)


def of_shape(tiny: Tiny) -> Config:
    """What config.json says that follows from the shape, or is listed for each layer."""
    stated: Config = LISTED.get(tiny.kind, relatives).of_shape(tiny)
    return stated


def tensors(tiny: Tiny) -> Iterator[Named]:
    """Names and shapes, (out, in), in an order of their own: those that transformers has."""
    embedding, layers, last = "model.embed_tokens", "model.layers", "model.norm"
    if tiny.kind == "starcoder":
        embedding, layers, last = "transformer.wte", "transformer.h", "transformer.ln_f"
        yield "transformer.wpe.weight", (tiny.n_ctx, tiny.dim)
    elif tiny.kind in lfm2.KINDS:
        last = "model.embedding_norm"
    elif tiny.kind.startswith("nemotron"):
        embedding, layers, last = "backbone.embeddings", "backbone.layers", "backbone.norm_f"
    yield f"{embedding}.weight", (tiny.vocab_size, tiny.dim)
    if tiny.kind == "gemma4_e":
        yield from gemma4.own_embeddings(tiny)
    for i in range(tiny.n_layers):
        for name, shape in LISTED[tiny.kind].layer(tiny, i):
            yield f"{layers}.{i}.{name}", shape
    yield from decoders.norm(tiny, last)
    if not tiny.tied:
        yield "lm_head.weight", (tiny.vocab_size, tiny.dim)
    for i in range(tiny.n_next):  # last, so that the others stay
        yield from _next_layer(tiny, i)


def _next_layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """A layer that guesses a token further ahead, with what joins its input."""
    if LISTED[tiny.kind] not in (decoders, latents, delta_nets):
        raise ValueError(f"a {tiny.kind} with a layer that guesses: its family has none")
    like, at = tiny.n_layers + i, f"model.layers.{tiny.n_layers + i}."
    layer, joins = at, ("eh_proj", "enorm", "hnorm", "shared_head.norm")
    if tiny.kind in NETS:  # with attention, as one layer of so many has it
        like = int(str(KINDS[tiny.kind]["full_attention_interval"])) - 1
        at, layer = "mtp.", f"mtp.layers.{i}."
        joins = ("fc", "pre_fc_norm_embedding", "pre_fc_norm_hidden", "norm")
    for name, shape in LISTED[tiny.kind].layer(tiny, like):
        yield layer + name, shape
    for name, shape in zip(joins, [(tiny.dim, 2 * tiny.dim), *[(tiny.dim,)] * 3], strict=True):
        yield f"{at}{name}.weight", shape
