"""Sizes of layers that differ, as a GGUF file states them: see layer_sizes.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import KEYS, MAX_DIM, MIN_HEAD_DIM
from halfbyte.families.family import Family
from halfbyte.families.layer_sizes import LayerSizes, wanted_sizes
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata

SHARED_KEY = "attention.shared_kv_layers"
LOCAL_DIM_KEYS = ("attention.key_length_swa", "attention.value_length_swa")
PER_LAYER_KEY = "embedding_length_per_layer_input"


def read_sizes(
    file: GGUFFile, family: Family, n_heads: int, sliding_layers: tuple[bool, ...]
) -> dict[str, Any]:
    """Fields of ModelConfig: `sizes`, and those of which they are the least or the most.

    Raises:
        ModelFileError: a number is missing or out of range, or a list has another length.
        UnsupportedModelError: what the family does not compute.
    """
    m, a, n_layers = file.metadata, family.architecture, len(sliding_layers)
    keys = {field: f"{a}.{key.gguf}" for field, key in KEYS.items()}
    whole, local = _head_dim(m, keys["head_dim"]), _head_dim(m, f"{a}.{LOCAL_DIM_KEYS[0]}")
    for key, wanted in (
        (f"{a}.attention.value_length", whole),
        (f"{a}.{LOCAL_DIM_KEYS[1]}", local),
    ):
        if m.get_int(key, wanted) != wanted:
            expected = f"the features of a key, {wanted}"
            raise UnsupportedModelError(m.path, key, expected=expected, got=m.get_int(key))
    n_kv_heads = _of_layers(m, keys["n_kv_heads"], n_layers)
    hidden_dims = _of_layers(m, keys["hidden_dim"], n_layers)
    sizes = LayerSizes(
        head_dims=tuple(local if slides else whole for slides in sliding_layers),
        n_kv_heads=n_kv_heads,
        hidden_dims=hidden_dims,
        n_shared=m.get_int(f"{a}.{SHARED_KEY}", 0, maximum=n_layers - 1),
        values_are_keys=_values_are_keys(file, n_layers),
    )
    wrong = wanted_sizes(sizes, n_heads, sliding_layers)
    if wrong is not None:
        names = {"n_kv_heads": keys["n_kv_heads"], "head_dims": keys["head_dim"],
                 "n_shared": f"{a}.{SHARED_KEY}"}  # fmt: skip
        raise ModelFileError(m.path, names[wrong.field], expected=wrong.expected, got=wrong.got)
    return {
        "n_heads": n_heads, "n_kv_heads": min(n_kv_heads), "head_dim": whole, "sizes": sizes,
        "hidden_dim": max(hidden_dims),
        "per_layer_dim": _per_layer_dim(m, f"{a}.{PER_LAYER_KEY}"),
    }  # fmt: skip


def _head_dim(m: Metadata, key: str) -> int:
    n = m.get_int(key, minimum=1, maximum=MAX_DIM)
    if n < MIN_HEAD_DIM or n % 2:
        expected = f"an even number from {MIN_HEAD_DIM}"
        raise UnsupportedModelError(m.path, key, expected=expected, got=n)
    return n


def _of_layers(m: Metadata, key: str, n_layers: int) -> tuple[int, ...]:
    """A number of each layer, of which a file may give one."""
    if key not in m or not isinstance(m.raw(key).value, np.ndarray):
        return (m.get_int(key, minimum=1, maximum=MAX_DIM),) * n_layers
    values = tuple(m.get_numbers(key, floats=False).tolist())
    if len(values) != n_layers:
        expected = f"one for each of {n_layers} layers"
        raise ModelFileError(m.path, key, expected=expected, got=len(values))
    if not all(1 <= n <= MAX_DIM for n in values):
        raise ModelFileError(m.path, key, expected=f"from 1 to {MAX_DIM}", got=list(values))
    return values


def _values_are_keys(file: GGUFFile, n_layers: int) -> tuple[bool, ...]:
    """Layers without a matrix for values."""
    return tuple(
        f"blk.{i}.attn_k.weight" in file.tensors and f"blk.{i}.attn_v.weight" not in file.tensors
        for i in range(n_layers)
    )


def _per_layer_dim(m: Metadata, key: str) -> int:
    n = m.get_int(key, 0, maximum=MAX_DIM)
    if n % 32:
        raise UnsupportedModelError(m.path, key, expected="0 or a multiple of 32", got=n)
    return n
