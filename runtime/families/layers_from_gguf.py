"""Which layers of a GGUF file have no keys and values, or no network: those that state 0."""

from __future__ import annotations

import numpy as np

from halfbyte.errors import ModelFileError
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import Family
from halfbyte.gguf.file import GGUFFile


def layers_without_keys(file: GGUFFile, family: Family, n_layers: int) -> tuple[bool, ...]:
    """Whether each layer is one of them.

    Raises:
        ModelFileError: another number of layers.
    """
    m, key = file.metadata, f"{family.architecture}.{family.keys['n_kv_heads'].gguf}"
    if key not in m or not isinstance(m.raw(key).value, np.ndarray):
        return (False,) * n_layers
    heads = m.get_numbers(key, floats=False).tolist()
    if len(heads) != n_layers:
        expected = f"one for each of {n_layers} layers"
        raise ModelFileError(m.path, key, expected=expected, got=len(heads))
    return tuple(n == 0 for n in heads)


def checked_layers(file: GGUFFile, family: Family, c: ModelConfig) -> ModelConfig:
    """A configuration of whose layers no list says 0 where they have what it counts.

    Raises:
        ModelFileError: one does, or is too short. Behind it may be those of layers ahead.
    """
    m = file.metadata
    for field, has in (
        ("n_kv_heads", c.has_attention),
        ("hidden_dim", lambda i: c.has_network(i) and not c.has_experts(i)),
    ):
        key = f"{family.architecture}.{family.keys[field].gguf}"
        if key not in m or not isinstance(m.raw(key).value, np.ndarray):
            continue
        stated = m.get_numbers(key, floats=False).tolist()
        if len(stated) < c.n_layers:
            expected = f"one for each of {c.n_layers} layers"
            raise ModelFileError(m.path, key, expected=expected, got=len(stated))
        for i in filter(has, range(c.n_layers)):
            if not stated[i]:
                expected = f"a number from 1 for layer {i}, which has what it counts"
                raise ModelFileError(m.path, key, expected=expected, got=stated)
    return c
