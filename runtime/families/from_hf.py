"""A model's configuration as config.json states it, as transformers 4 or 5 writes it.

Keys that are absent have the default that the model's class of transformers has; anything
that would change the model's arithmetic and is not supported yet is an error (hf_keys.py).
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from halfbyte.families.config import KEYS, MAX_LAYERS, MIN_HEAD_DIM, OPTIONS, ModelConfig
from halfbyte.families.experts_from_hf import expert_keys, read_experts
from halfbyte.families.family import Family
from halfbyte.families.heads import gate_dim_from_hf, heads_from_hf, wanted_heads
from halfbyte.families.hf_keys import check_keys, say_unused
from halfbyte.families.hf_reader import Reader
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.latent_from_hf import read_latent, with_latents
from halfbyte.families.layer_sizes import local_dim
from halfbyte.families.neutral import Neutral
from halfbyte.families.registry import BY_MODEL_TYPE
from halfbyte.families.rope_from_hf import read_ropes
from halfbyte.families.sizes_from_hf import read_sizes
from halfbyte.families.wrapped import text_config
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP

log = logging.getLogger(__name__)

_WINDOW, _FIRST = KEYS["sliding_window"].hf, "max_window_layers"
_EVERY = "sliding_window_pattern"  # every so many layers one has no window
_SCALAR = "query_pre_attn_scalar"
_ROTATED = "no_rope_layers"  # 1 says that a layer rotates
_FULL, _SLIDING = ("full_attention", "attention"), ("sliding_attention",)  # and an older name


def config_from_hf(path: Path, stated: dict[str, Any]) -> ModelConfig:
    """Check and translate config.json; `path` is its folder.

    Raises:
        ConversionError: a key is missing, mistyped or out of range, or asks for what is not
            supported.
    """
    stated = text_config(path / "config.json", stated)
    kind = stated.get("model_type")
    family = BY_MODEL_TYPE.get(kind) if isinstance(kind, str) else None
    reader = Reader(path / "config.json", stated, {})
    if family is None:
        hint = f"these run: {', '.join(BY_MODEL_TYPE)}"
        raise reader.bad("model_type", "one that runs here", kind, hint)
    reader.defaults, reader.keys = family.defaults[str(kind)], family.keys
    reader.reads = frozenset({*family.hf_reads, *expert_keys(reader, family)})
    _check(reader, family)
    n_layers, n_ctx = reader.count("n_layers", _listed(reader, family)), reader.count("n_ctx_train")
    dim = reader.count("dim")
    # Of models whose layers all have experts it may say nothing.
    usual = 4 * dim if "n_inner" in reader.defaults else reader.value_of("moe_intermediate_size")
    hidden_dim = reader.count("hidden_dim", usual)
    window = _window(reader, family)
    sliding_layers = _sliding_layers(reader, family, n_layers, window)
    latent, heads = _attention(reader, family, dim, sliding_layers or (False,) * n_layers)
    _check_rope_layers(reader, family, n_layers)
    rotated = latent.rope_dim if latent else heads["head_dim"]
    local = local_dim(heads.get("sizes"), sliding_layers)
    ropes = read_ropes(reader, family, rotated, n_ctx, local)
    config = ModelConfig(
        architecture=family.architecture,
        name=_model_name(path.resolve()),
        dim=dim,
        n_layers=n_layers,
        vocab_size=reader.count("vocab_size"),
        n_ctx_train=n_ctx,
        norm_eps=reader.positive(family.keys["norm_eps"].hf, reader.value("norm_eps")),
        rope=ropes.rope,
        tied=reader.flag("tie_word_embeddings", bool(reader.defaults.get("tie_word_embeddings"))),
        sliding_window=window,
        sliding_layers=sliding_layers if window else (),
        rope_layers=family.rope_layers(n_layers, sliding_layers if window else ()),
        local_rope=ropes.local if window else None,
        temperature=ropes.temperature,
        experts=read_experts(reader, family, hidden_dim, n_layers),
        **{"hidden_dim": hidden_dim, **heads},
        **_options(reader, family),
    )
    config = with_latents(reader, config, latent) if latent else config
    return config if family.recurrent is None else _with_recurrence(reader, family, config)


def _with_recurrence(reader: Reader, family: Family, config: ModelConfig) -> ModelConfig:
    """A configuration with its recurrent layers, which are not all."""
    assert family.recurrent is not None
    config = family.recurrent.from_hf(reader, config)
    if not config.n_kv_layers:
        key = next(iter(family.recurrent.kinds_keys), "layer_types")
        raise reader.bad(key, "at least one layer with attention", reader.value_of(key))
    return config


def _listed(reader: Reader, family: Family) -> int | None:
    """How many layers there are by the length of what lists their kinds; None: nothing does."""
    keys = family.recurrent.kinds_keys if family.recurrent else ()
    lists = (reader.value_of(key) for key in keys)
    return next((len(one) for one in lists if isinstance(one, (list, str))), None)


def _check(reader: Reader, family: Family) -> None:
    """Refuse what would change a result and is not computed."""
    _check_architectures(reader)
    check_keys(reader, reader.reads)
    _check_only(reader, family)


def _options(reader: Reader, family: Family) -> dict[str, Any]:
    """Factors, caps and biases that the family reads; null says nothing."""
    found: dict[str, Any] = {}
    if family.score_scale:
        found["attention_scale"] = family.score_scale
    for field in OPTIONS:
        key = reader.keys[field].hf
        value = reader.value(field) if key in reader.reads else None
        if value is not None:
            found[field] = reader.positive(key, value)
    if _SCALAR in reader.reads:
        found["attention_scale"] = reader.positive(_SCALAR, _stated(reader, _SCALAR)) ** -0.5
    return found | _biases(reader, family)


def _biases(reader: Reader, family: Family) -> dict[str, bool]:
    """Which projections have biases."""
    return {
        field: reader.flag(key, bool(reader.defaults.get(key)))
        for key, fields in family.biases.items()
        for field in fields
    }


def _check_only(reader: Reader, family: Family) -> None:
    """Refuse other values of keys that may have one alone."""
    for key, value in family.only.items():
        if isinstance(value, Neutral):
            if not value.holds(reader.config.get(key)):
                wanted = f"{value.text} (others are not supported)"
                raise reader.bad(key, wanted, reader.config[key])
        elif reader.config.get(key, value) != value:
            wanted = f"{value!r} (others are not supported yet)"
            raise reader.bad(key, wanted, reader.config[key])


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


def _attention(
    reader: Reader, family: Family, dim: int, sliding_layers: tuple[bool, ...]
) -> tuple[LatentConfig | None, dict[str, Any]]:
    """How keys and values are compressed, if they are, and the heads."""
    if family.has_sizes:
        return None, read_sizes(reader, reader.count("n_heads"), sliding_layers)
    if not family.has_latents:
        return None, _heads(reader, family, dim, len(sliding_layers))
    n_heads = reader.count("n_heads")
    latent = read_latent(reader, n_heads)
    return latent, {"n_heads": n_heads, "n_kv_heads": 1, "head_dim": latent.key_dim}


def _heads(reader: Reader, family: Family, dim: int, n_layers: int) -> dict[str, Any]:
    """How many heads of what size there are, and what gates them."""
    layer_heads = heads_from_hf(reader, family, n_layers)
    n_heads = max(layer_heads) if layer_heads else reader.count("n_heads")
    n_kv_heads = _kv_heads(reader, n_heads)
    if wrong := wanted_heads(layer_heads, n_kv_heads):
        raise reader.bad(family.heads_key, wrong, list(layer_heads))
    head_dim = _head_dim(reader, dim, n_heads)
    gate_dim = gate_dim_from_hf(reader, family, head_dim)
    return {"n_heads": n_heads, "n_kv_heads": n_kv_heads, "head_dim": head_dim,
            "layer_heads": layer_heads, "gate_dim": gate_dim}  # fmt: skip


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


def _window(reader: Reader, family: Family) -> int:
    """Positions that a token sees; 0: all. Mistral has a window, in all layers."""
    stated = reader.value("sliding_window")
    if _WINDOW in reader.defaults:
        may_lack = family.null_is_no_window or "layer_types" in reader.defaults
        has_none = stated is None and (may_lack or not family.full_every)
        return 0 if has_none else reader.count("sliding_window")
    if stated is not None and _FIRST not in reader.defaults:
        say_unused(reader.path, "this kind of model has no window", [_WINDOW])
    return 0


def _sliding_layers(reader: Reader, family: Family, n_layers: int, window: int) -> tuple[bool, ...]:
    """Which layers have the window; (): all are alike."""
    if family.recurrent is not None:  # whose kinds these are
        return ()
    layers, every = reader.config.get("layer_types"), family.full_every if window else 0
    if layers is not None:
        wanted = (*_FULL, *_SLIDING) if every else _SLIDING if window else _FULL
        if not isinstance(layers, list) or not all(one in wanted for one in layers):
            text = "full_attention or sliding_attention" if every else wanted[0]
            why = "" if window else f" where {_WINDOW} is no number"
            raise reader.bad("layer_types", f"{text} alone{why}", layers)
        if len(layers) != n_layers:
            raise reader.bad("layer_types", f"one for each of {n_layers} layers", len(layers))
        found = tuple(one in _SLIDING for one in layers) if every else ()
        return _with_full_end(reader, found) if family.has_sizes else found
    if every and "layer_types" in reader.defaults:
        return (False,) * n_layers
    if every:
        stated = reader.config.get(_EVERY)
        every = every if stated is None else stated
        if type(every) is not int or not 1 <= every <= MAX_LAYERS:
            raise reader.bad(_EVERY, f"a whole number from 1 to {MAX_LAYERS}", every)
        found = replace(family, full_every=every).sliding_layers(n_layers)
        return (*found[:-1], False) if family.has_sizes else found
    _check_qwens_window(reader, n_layers)
    return ()


def _with_full_end(reader: Reader, sliding_layers: tuple[bool, ...]) -> tuple[bool, ...]:
    """The last layer sees all, whatever is stated; so in transformers."""
    if sliding_layers[-1]:
        log.warning("%s: the last layer has no window, as in transformers", reader.path)
    return (*sliding_layers[:-1], False)


def _check_qwens_window(reader: Reader, n_layers: int) -> None:
    """Qwen's last layers may have one."""
    if _FIRST not in reader.defaults or not reader.flag("use_sliding_window", False):
        return
    first = reader.config.get(_FIRST, reader.defaults[_FIRST])
    if type(first) is not int or first < 0:
        raise reader.bad(_FIRST, "a whole number from 0", first)
    has_window = _WINDOW not in reader.config or reader.config[_WINDOW] is not None
    if first < n_layers and has_window:
        least = f"at least {n_layers} (windows of some layers are not supported)"
        raise reader.bad(f"use_sliding_window: {_FIRST}", least, first)


def _check_rope_layers(reader: Reader, family: Family, n_layers: int) -> None:
    """Layers without rotation are where a file's architecture has them."""
    every = family.unrotated_every
    if not every:
        return
    interval, stated = reader.config.get("no_rope_layer_interval"), reader.config.get(_ROTATED)
    if stated is None and interval not in (None, every):
        raise reader.bad("no_rope_layer_interval", f"{every} (others are not supported)", interval)
    wanted = [int(one) for one in family.rope_layers(n_layers)]
    if stated is not None and (not isinstance(stated, list) or stated[:n_layers] != wanted):
        text = f"1 for each of {n_layers} layers, but 0 for each {every}th"
        raise reader.bad(_ROTATED, f"{text} (others are not supported)", stated)


def _model_name(path: Path) -> str:
    """The folder's name; in huggingface_hub's cache the repository's, not the commit's."""
    repository = path.parent.parent.name
    is_cached = path.parent.name == "snapshots" and repository.startswith("models--")
    return repository.rpartition("--")[2] if is_cached else path.name
