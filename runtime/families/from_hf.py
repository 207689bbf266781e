"""A model's configuration as config.json states it, as transformers 4 or 5 writes it.

Keys that are absent have the default that the model's class of transformers has; anything
that would change the model's arithmetic and is not supported yet is an error (hf_keys.py).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from halfbyte.families.config import KEYS, MIN_HEAD_DIM, OPTIONS, ModelConfig
from halfbyte.families.family import Family
from halfbyte.families.hf_keys import check_keys, say_unused
from halfbyte.families.hf_reader import Reader
from halfbyte.families.neutral import Neutral
from halfbyte.families.registry import BY_MODEL_TYPE
from halfbyte.families.rope_from_hf import read_rope
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP

_WINDOW, _FIRST = KEYS["sliding_window"].hf, "max_window_layers"
_SCALAR = "query_pre_attn_scalar"
_FULL, _SLIDING = ("full_attention", "attention"), ("sliding_attention",)  # and an older name


def config_from_hf(path: Path, config: dict[str, Any]) -> ModelConfig:
    """Check and translate config.json; `path` is its folder.

    Raises:
        ConversionError: a key is missing, mistyped or out of range, or asks for what is not
            supported.
    """
    kind = config.get("model_type")
    family = BY_MODEL_TYPE.get(kind) if isinstance(kind, str) else None
    reader = Reader(path / "config.json", config, {})
    if family is None:
        raise reader.bad("model_type", " or ".join(BY_MODEL_TYPE), kind)
    reader.defaults, reader.keys = family.defaults[str(kind)], family.keys
    reader.reads = family.reads | family.only.keys() | family.biases.keys()
    _check_architectures(reader)
    check_keys(reader)
    for key, value in family.only.items():
        if isinstance(value, Neutral):
            if not value.holds(config.get(key)):
                raise reader.bad(key, f"{value.text} (others are not supported)", config[key])
        elif config.get(key, value) != value:
            raise reader.bad(key, f"{value!r} (others are not supported yet)", config[key])
    dim, n_heads = reader.count("dim"), reader.count("n_heads")
    n_kv_heads = _kv_heads(reader, n_heads)
    head_dim = _head_dim(reader, dim, n_heads)
    n_layers, n_ctx = reader.count("n_layers"), reader.count("n_ctx_train")
    window = _window(reader)
    _check_layers(reader, n_layers, window)
    return ModelConfig(
        architecture=family.architecture,
        name=_model_name(path.resolve()),
        dim=dim,
        hidden_dim=reader.count("hidden_dim"),
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        vocab_size=reader.count("vocab_size"),
        n_ctx_train=n_ctx,
        norm_eps=reader.positive(family.keys["norm_eps"].hf, reader.value("norm_eps")),
        rope=read_rope(reader, head_dim, n_ctx),
        tied=reader.flag("tie_word_embeddings", bool(reader.defaults.get("tie_word_embeddings"))),
        sliding_window=window,
        **_options(reader),
        **_biases(reader, family),
    )


def _options(reader: Reader) -> dict[str, float]:
    """Factors and caps that the family reads; null says nothing."""
    found = {}
    for field in OPTIONS:
        key = reader.keys[field].hf
        value = reader.value(field) if key in reader.reads else None
        if value is not None:
            found[field] = reader.positive(key, value)
    if _SCALAR in reader.reads:
        found["attention_scale"] = reader.positive(_SCALAR, _stated(reader, _SCALAR)) ** -0.5
    return found


def _biases(reader: Reader, family: Family) -> dict[str, bool]:
    """Which projections have biases."""
    return {
        field: reader.flag(key, bool(reader.defaults.get(key)))
        for key, fields in family.biases.items()
        for field in fields
    }


def _stated(reader: Reader, key: str) -> Any:
    return reader.config.get(key, reader.defaults.get(key))


def _check_architectures(reader: Reader) -> None:
    """Only what gives logits of the next token: no classifier, no embedding, no vision."""
    classes = reader.config.get("architectures")
    if classes is None:
        return
    if not isinstance(classes, list) or not all(isinstance(one, str) for one in classes):
        raise reader.bad("architectures", "a list of names", classes)
    if classes and not any(one.endswith("ForCausalLM") for one in classes):
        raise reader.bad("architectures", "a class whose name ends in ForCausalLM", classes)


def _kv_heads(reader: Reader, n_heads: int) -> int:
    n_kv_heads = reader.count("n_kv_heads", n_heads)  # null says as many as heads
    if n_heads % n_kv_heads:
        raise reader.bad(KEYS["n_kv_heads"].hf, f"a divisor of {n_heads}", n_kv_heads)
    if n_heads // n_kv_heads > MAX_GROUP:
        wanted = f"at least one for each {MAX_GROUP} of the {n_heads} heads"
        raise reader.bad(KEYS["n_kv_heads"].hf, wanted, n_kv_heads)
    return n_kv_heads


def _head_dim(reader: Reader, dim: int, n_heads: int) -> int:
    if reader.value("head_dim") is None and dim % n_heads:
        raise reader.bad(KEYS["dim"].hf, f"a multiple of {n_heads} heads", dim)
    head_dim = reader.count("head_dim", dim // n_heads)
    if head_dim % 2 or head_dim < MIN_HEAD_DIM:
        raise reader.bad(KEYS["head_dim"].hf, f"an even number from {MIN_HEAD_DIM}", head_dim)
    # What other models scale scores by, and how much of a head they rotate.
    for key, wanted in (
        ("attention_multiplier", head_dim**-0.5),
        ("query_pre_attn_scalar", head_dim),
        ("rotary_dim", head_dim),
    ):
        value = None if key in reader.reads else reader.config.get(key)
        number = wanted if value is None else reader.positive(key, value)
        if not math.isclose(number, wanted, rel_tol=1e-6):
            raise reader.bad(key, f"{wanted:.7g} (others are not supported)", value)
    return head_dim


def _window(reader: Reader) -> int:
    """Positions that a token sees; 0: all. Mistral has a window, in all layers."""
    stated = reader.value("sliding_window")
    if _WINDOW in reader.defaults:
        return 0 if stated is None else reader.count("sliding_window")
    if stated is not None and _FIRST not in reader.defaults:
        say_unused(reader.path, "this kind of model has no window", [_WINDOW])
    return 0


def _check_layers(reader: Reader, n_layers: int, window: int) -> None:
    """Attention is the same in all layers. Qwen's last ones may have a window."""
    layers = reader.config.get("layer_types")
    if layers is not None:
        wanted = _SLIDING if window else _FULL
        if not isinstance(layers, list) or not all(one in wanted for one in layers):
            raise reader.bad("layer_types", f"{wanted[0]} alone", layers)
        return
    if _FIRST not in reader.defaults or not reader.flag("use_sliding_window", False):
        return
    first = reader.config.get(_FIRST, reader.defaults[_FIRST])
    if type(first) is not int or first < 0:
        raise reader.bad(_FIRST, "a whole number from 0", first)
    has_window = _WINDOW not in reader.config or reader.config[_WINDOW] is not None
    if first < n_layers and has_window:
        least = f"at least {n_layers} (windows of some layers are not supported)"
        raise reader.bad(f"use_sliding_window: {_FIRST}", least, first)


def _model_name(path: Path) -> str:
    """The folder's name; in huggingface_hub's cache the repository's, not the commit's."""
    repository = path.parent.parent.name
    is_cached = path.parent.name == "snapshots" and repository.startswith("models--")
    return repository.rpartition("--")[2] if is_cached else path.name
