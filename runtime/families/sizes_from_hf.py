"""Sizes of layers that differ, as config.json states them: see layer_sizes.py.

Older transformers write two numbers for layers without a window (`global_head_dim`,
`num_global_key_value_heads`), newer ones what each layer has otherwise (`per_layer_config`), which
counts where both are there. Source: transformers' Gemma4TextConfig.
"""

from __future__ import annotations

from typing import Any

from halfbyte.families.config import KEYS, MAX_DIM, MIN_HEAD_DIM
from halfbyte.families.hf_reader import Reader
from halfbyte.families.layer_sizes import LayerSizes, wanted_sizes

_DIM, _KV_HEADS = KEYS["head_dim"].hf, KEYS["n_kv_heads"].hf
_GLOBAL_DIM, _GLOBAL_KV_HEADS = "global_head_dim", "num_global_key_value_heads"
_BY_LAYER, _SHARED, _SAME = "per_layer_config", "num_kv_shared_layers", "attention_k_eq_v"
_WIDE, _PER_LAYER = "use_double_wide_mlp", "hidden_size_per_layer_input"
_PER_LAYER_VOCAB = "vocab_size_per_layer_input"


def read_sizes(reader: Reader, n_heads: int, sliding_layers: tuple[bool, ...]) -> dict[str, Any]:
    """Fields of ModelConfig: `sizes`, and those of which they are the least or the most.

    Raises:
        ConversionError: a number is missing or out of range, or layers contradict each other.
    """
    n_layers, is_same = len(sliding_layers), reader.flag(_SAME, False)
    hidden_dim = reader.count("hidden_dim")
    layers = _heads(reader, sliding_layers, is_same)
    n_shared = _count(reader, _SHARED, 0, 0, n_layers - 1)
    first, wide = n_layers - n_shared, 1 + reader.flag(_WIDE, False)
    sizes = LayerSizes(
        head_dims=tuple(d for d, _ in layers),
        n_kv_heads=tuple(n for _, n in layers),
        hidden_dims=(hidden_dim,) * first + (hidden_dim * wide,) * n_shared,
        n_shared=n_shared,
        values_are_keys=tuple(
            is_same and not slides and i < first for i, slides in enumerate(sliding_layers)
        ),
    )
    wrong = wanted_sizes(sizes, n_heads, sliding_layers)
    if wrong is not None:
        names = {"n_kv_heads": _KV_HEADS, "head_dims": _DIM, "n_shared": _SHARED}
        raise reader.bad(names[wrong.field], wrong.expected, wrong.got)
    whole = dict(zip(sliding_layers, sizes.head_dims, strict=True))
    return {
        "n_heads": n_heads, "n_kv_heads": min(sizes.n_kv_heads), "sizes": sizes,
        "head_dim": whole.get(False, sizes.head_dims[0]), "hidden_dim": max(sizes.hidden_dims),
        "per_layer_dim": _per_layer_dim(reader),
    }  # fmt: skip


def _heads(
    reader: Reader, sliding_layers: tuple[bool, ...], is_same: bool
) -> list[tuple[int, int]]:
    """Of each layer the features of a head, and its KV heads."""
    usual = _head_dim(reader, _DIM, reader.value("head_dim")), reader.count("n_kv_heads")
    stated = reader.config.get(_BY_LAYER)
    if stated is None:
        d = _head_dim(reader, _GLOBAL_DIM, reader.value_of(_GLOBAL_DIM))
        n = _count(reader, _GLOBAL_KV_HEADS, usual[1], 1, MAX_DIM) if is_same else usual[1]
        return [usual if slides else (d, n) for slides in sliding_layers]
    if not isinstance(stated, dict) or not all(isinstance(one, dict) for one in stated.values()):
        raise reader.bad(_BY_LAYER, "an object of objects", stated)
    layers = [usual] * len(sliding_layers)
    for key, own in stated.items():
        if not str(key).isdecimal() or not int(key) < len(layers):
            raise reader.bad(_BY_LAYER, f"numbers of layers below {len(layers)}", key)
        others = sorted(own.keys() - {_DIM, _KV_HEADS})
        if others:
            wanted = f"{_DIM} and {_KV_HEADS} (others are not supported)"
            raise reader.bad(f"{_BY_LAYER}.{key}", wanted, others[0])
        n = own.get(_KV_HEADS, usual[1])
        if type(n) is not int or not 1 <= n <= MAX_DIM:
            raise reader.bad(f"{_BY_LAYER}.{key}", f"a whole number from 1 to {MAX_DIM}", n)
        d = _head_dim(reader, f"{_BY_LAYER}.{key}.{_DIM}", own.get(_DIM, usual[0]))
        layers[int(key)] = d, n
    return layers


def _head_dim(reader: Reader, key: str, value: Any) -> int:
    if type(value) is not int or value % 2 or not MIN_HEAD_DIM <= value <= MAX_DIM:
        wanted = f"an even number from {MIN_HEAD_DIM} to {MAX_DIM}"
        raise reader.bad(key, wanted, value)
    return value


def _count(reader: Reader, key: str, default: int, least: int, most: int) -> int:
    value = reader.value_of(key)
    value = default if value is None else value
    if type(value) is not int or not least <= value <= most:
        raise reader.bad(key, f"a whole number from {least} to {most}", value)
    return value


def _per_layer_dim(reader: Reader) -> int:
    n = _count(reader, _PER_LAYER, 0, 0, MAX_DIM)
    if n % 32:
        raise reader.bad(_PER_LAYER, "0 or a multiple of 32 (others are not supported)", n)
    vocab_size = reader.count("vocab_size")
    own = _count(reader, _PER_LAYER_VOCAB, vocab_size, 1, 1 << 30)
    if n and own != vocab_size:
        raise reader.bad(_PER_LAYER_VOCAB, f"vocab_size, {vocab_size}", own)
    return n
