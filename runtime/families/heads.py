"""Query heads that differ from layer to layer, and gates of what they give: Laguna's.

Source: transformers' LagunaConfig, llama.cpp's src/models/laguna.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import KEYS, MAX_DIM
from halfbyte.families.family import Family
from halfbyte.families.hf_reader import Reader
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP

GATE = "attn_gate"
# config.json's words for what shares a gate -> whether it is a head.
_SHARES: Mapping[object, bool] = {True: True, "per-head": True, "per-element": False}


def heads_from_hf(reader: Reader, family: Family, n_layers: int) -> tuple[int, ...]:
    """The query heads of each layer where a checkpoint's differ; (): they do not.

    Raises:
        ConversionError: they are no such numbers.
    """
    stated = reader.config.get(family.heads_key) if family.heads_key else None
    if stated is None:
        return ()
    if not isinstance(stated, list) or len(stated) != n_layers:
        got = len(stated) if isinstance(stated, list) else stated
        raise reader.bad(family.heads_key, f"one for each of {n_layers} layers", got)
    if not all(type(n) is int and 1 <= n <= MAX_DIM for n in stated):
        raise reader.bad(family.heads_key, f"whole numbers from 1 to {MAX_DIM}", stated)
    return tuple(stated) if len(set(stated)) > 1 else ()


def wanted_heads(heads: tuple[int, ...], n_kv_heads: int) -> str:
    """What different numbers of heads should be, where they are not; else ""."""
    if all(n % n_kv_heads == 0 and n // n_kv_heads <= MAX_GROUP for n in heads):
        return ""
    return f"multiples of the {n_kv_heads} KV heads, up to {MAX_GROUP} times as many"


def gate_dim_from_hf(reader: Reader, family: Family, head_dim: int) -> int:
    """How many features share a gate of a checkpoint; 0: it has none.

    Raises:
        ConversionError: another way to share them.
    """
    if not family.gates_key:
        return 0
    stated: Any = reader.config.get(family.gates_key, True)
    if not isinstance(stated, (bool, str)) or stated not in _SHARES:
        raise reader.bad(family.gates_key, 'true, "per-head" or "per-element"', stated)
    return head_dim if _SHARES[stated] else 1


def heads_from_gguf(file: GGUFFile, family: Family) -> tuple[int, ...]:
    """The same of a file."""
    m, key = file.metadata, f"{family.architecture}.{KEYS['n_heads'].gguf}"
    if not family.heads_key or key not in m or not isinstance(m.raw(key).value, np.ndarray):
        return ()
    heads = tuple(m.get_numbers(key, floats=False).tolist())
    n_layers = m.get_int(f"{family.architecture}.{KEYS['n_layers'].gguf}")
    if len(heads) != n_layers:
        expected = f"one for each of {n_layers} layers"
        raise ModelFileError(m.path, key, expected=expected, got=len(heads))
    if not all(1 <= n <= MAX_DIM for n in heads):
        raise ModelFileError(m.path, key, expected=f"from 1 to {MAX_DIM}", got=list(heads))
    return heads if len(set(heads)) > 1 else ()


def gate_dim_from_gguf(file: GGUFFile, family: Family, n_heads: int, head_dim: int) -> int:
    """The same of a file, whose first layer's gates tell; it has `n_heads`."""
    if not family.gates_key:
        return 0
    name = f"blk.0.{GATE}.weight"
    n = file.tensors[name].shape[0] if name in file.tensors else n_heads
    if n not in (n_heads, n_heads * head_dim):
        raise UnsupportedModelError(
            file.path, name, expected=f"{n_heads} rows, or {n_heads * head_dim}", got=n
        )
    return n_heads * head_dim // n
