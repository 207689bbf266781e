"""Which layers of a GGUF file have no keys and values: those that state no KV heads."""

from __future__ import annotations

import numpy as np

from halfbyte.errors import ModelFileError
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
