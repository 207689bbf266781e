"""Layers that guess a token further ahead (NextN, multi-token prediction), as models of one layer.

Such a layer stands behind those of a model. It takes the state that the model's last norm gave for
a token, and the token that came after it:

    x = eh_proj [enorm(embedding of the token), hnorm(state)]

goes through one more layer of the family, a norm and a matrix for logits: these are of the token
after that. Its own normed state takes the model's place to guess another one. Embedding, norm and
head are the model's where it has none of its own. Sources: DeepSeek-V3, arXiv:2412.19437; tensor
names are GGUF's, as llama.cpp reads them, and so is which state it takes.

In memory it is a model of one layer: what is "blk.46.attn_q" in a file is its "blk.0.attn_q".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

from halfbyte.families.config import ModelConfig
from halfbyte.families.family import Family, NextNames
from halfbyte.families.stages import Embed, Join, Project, Stage
from halfbyte.families.tensors import OUTPUT, TensorSpec

EH_PROJ, _ENORM, _HNORM = "nextn.eh_proj", "nextn.enorm", "nextn.hnorm"
_EMBEDDING, _NORM, _HEAD = "nextn.embed_tokens", "nextn.shared_head_norm", "nextn.shared_head_head"
# What such a layer has of its own in the place of the model's.
INSTEAD = {
    _EMBEDDING: "token_embd.weight",
    _NORM: "output_norm.weight",
    _HEAD: OUTPUT,
}
T = TypeVar("T")
_BLOCK = re.compile(r"blk\.(\d+)\.")


def next_config(c: ModelConfig, i: int = 0) -> ModelConfig:
    """The i-th layer of a model that guesses, as a model of its own."""
    experts = None if c.experts is None else replace(c.experts, n_dense_layers=0, dense_layers=())
    return replace(
        c, n_layers=1, n_next=0, next_layer=c.n_layers + i, experts=experts, tied=False,
        sliding_window=0 if c.sliding_layers else c.sliding_window, sliding_layers=(),
        rope_layers=(), layer_heads=(), recurrent=None, recurrent_layers=(), attention_layers=(),
        network_layers=(),
    )  # fmt: skip


def of_next_layer(family: Family) -> Family:
    """The family of such models."""
    return replace(family, stages=partial(_stages, family), tensors=partial(_tensors, family))


def tensors_of_next(family: Family, c: ModelConfig) -> Iterator[TensorSpec]:
    """The tensors in a model's file of all of its layers that guess."""
    for i in range(c.n_next):
        yield from _tensors(family, next_config(c, i), i)


def in_memory(found: Mapping[str, T], layer: int) -> dict[str, T]:
    """What is known of a layer's tensors, under the names that they have in memory."""
    at, names = f"blk.{layer}.", dict[str, str]()
    for name in found:
        short = name.removeprefix(at)
        own = INSTEAD.get(short.removesuffix(".weight"), f"blk.0.{short}")
        names[name] = name if short == name else own
    return {names[name]: value for name, value in found.items()}


def is_of_next(name: str, n_layers: int) -> bool:
    """Whether a tensor of a file stands behind a model's layers."""
    found = _BLOCK.match(name)
    return found is not None and int(found[1]) >= n_layers


def n_next_in_file(names: Iterable[str], n_layers: int) -> int:
    """How many layers that guess a GGUF file has behind n_layers others."""
    known, n = set(names), 0
    while f"blk.{n_layers + n}.{EH_PROJ}.weight" in known:
        n += 1
    return n


def n_next_in_checkpoint(names: Iterable[str], family: Family, n_layers: int) -> int:
    """How many a checkpoint has."""
    known, n = list(names), 0
    while family.next_names is not None and _names_of(family.next_names, known, n_layers, n):
        n += 1
    return n


def names_of_next(names: Iterable[str], family: Family, n_layers: int) -> frozenset[str]:
    """The tensors of these layers in a checkpoint."""
    known, found = list(names), set[str]()
    for i in range(n_next_in_checkpoint(known, family, n_layers)):
        assert family.next_names is not None
        found.update(_names_of(family.next_names, known, n_layers, i))
    return frozenset(found)


def _names_of(own: NextNames, known: list[str], n_layers: int, i: int) -> list[str]:
    """A layer's tensors among those of a checkpoint; none where it has no such layer."""
    layer = own.layer.format(n=n_layers + i, i=i)
    if not any(name.startswith(layer) for name in known):
        return []
    joints = (own.eh_proj, own.enorm, own.hnorm, own.norm, own.embedding, own.head)
    begins = (layer, *(f"{name.format(n=n_layers + i, i=i)}." for name in joints))
    found = [name for name in known if name.startswith(begins)]
    return found if any(name.startswith(begins[1]) for name in found) else []


def _stages(family: Family, c: ModelConfig) -> Iterator[Stage]:
    embed, *others = family.stages(c)
    if not isinstance(embed, Embed):
        raise TypeError(f"{embed}: a forward pass begins with an embedding")
    yield replace(embed, to="embedded")
    yield Join(_ENORM, _HNORM, layer=0)
    yield Project((EH_PROJ,), "joined", "x", layer=0)
    yield from others


def _tensors(family: Family, c: ModelConfig, i: int = 0) -> Iterator[TensorSpec]:
    """Those of its own, as they are in files."""
    own, n = family.next_names or NextNames(), c.next_layer
    at, layer = f"blk.{n}.", own.layer.format(n=n, i=i)

    def spec(
        name: str, hf_name: str, shape: tuple[int, ...], *, may_lack: bool = False
    ) -> TensorSpec:
        adds = own.adds if len(shape) == 1 else 0.0
        hf_name = f"{hf_name.format(n=n, i=i)}.weight"
        return TensorSpec(f"{at}{name}.weight", hf_name, shape, may_lack=may_lack, adds=adds)

    yield spec(EH_PROJ, own.eh_proj, (c.dim, 2 * c.dim))
    yield spec(_ENORM, own.enorm, (c.dim,))
    yield spec(_HNORM, own.hnorm, (c.dim,))
    yield spec(_EMBEDDING, own.embedding, (c.vocab_size, c.dim), may_lack=True)
    yield spec(_HEAD, own.head, (c.vocab_size, c.dim), may_lack=True)
    yield spec(_NORM, own.norm, (c.dim,), may_lack=True)
    for one in family.tensors(c):
        if one.name.startswith("blk.0."):
            short, hf_short = one.name.removeprefix("blk.0."), one.hf_name.partition(".0.")[2]
            yield replace(one, name=at + short, hf_name=layer + hf_short)
