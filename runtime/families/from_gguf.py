"""A model's configuration as its GGUF file states it.

Nothing is assumed: a number that the file does not give is an error, unless GGUF's documentation
defines what its absence means.
"""

from __future__ import annotations

import math
from collections.abc import Set
from typing import Any

import numpy as np

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import (
    EXPERT_KEYS,
    KEYS,
    MAX_CTX,
    MAX_DIM,
    MAX_VOCAB,
    MIN_HEAD_DIM,
    OPTIONS,
    ModelConfig,
)
from halfbyte.families.experts_from_gguf import check_expert_counts, has_experts, read_experts
from halfbyte.families.family import Family
from halfbyte.families.heads import gate_dim_from_gguf, heads_from_gguf, wanted_heads
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.latent_from_gguf import read_latent, with_latents
from halfbyte.families.layer_sizes import local_dim
from halfbyte.families.layers_from_gguf import checked_layers
from halfbyte.families.metadata_keys import check_keys, is_saved
from halfbyte.families.next_layer import n_next_in_file
from halfbyte.families.next_tokens import n_layers_of
from halfbyte.families.registry import FAMILIES
from halfbyte.families.rope_from_gguf import read_ropes
from halfbyte.families.sizes_from_gguf import read_sizes
from halfbyte.families.tensors import OUTPUT
from halfbyte.families.windows_from_gguf import read_windows
from halfbyte.families.xielu import read_xielu
from halfbyte.files.adapters import MERGE
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP

_TYPE = "general.type"


def config_from_gguf(file: GGUFFile) -> ModelConfig:
    """Read and check the configuration.

    Raises:
        ModelFileError: a number is missing, of another type or out of range.
        UnsupportedModelError: another architecture, or a variation that does not run.
    """
    m = file.metadata
    check_type(m)
    family = _family(m)
    architecture = family.architecture
    key = {field: f"{architecture}.{keys.gguf}" for field, keys in family.keys.items()}
    of_experts = EXPERT_KEYS.values() if has_experts(m, family) else ()
    check_keys(m, architecture, {*family.reads, *of_experts})
    dim = m.get_int(key["dim"], minimum=1, maximum=MAX_DIM)
    _check_same(m, f"{architecture}.embedding_length_out", "the embedding's", dim)
    n_layers = n_layers_of(m, family)
    window, sliding_layers = read_windows(m, family, n_layers)
    latent, heads = _attention(file, family, dim, sliding_layers)
    n_ctx, local = _n_ctx(m, key["n_ctx_train"]), local_dim(heads.get("sizes"), sliding_layers)
    ropes = read_ropes(file, family, heads["head_dim"], n_ctx, local)
    _check_scale(m, family, latent.qk_dim if latent else heads["head_dim"])
    hidden_dim = heads.pop("hidden_dim", 0) or _hidden_dim(m, family, key["hidden_dim"])
    config = ModelConfig(
        architecture=architecture,
        name=m.get_str("general.name", ""),
        dim=dim,
        hidden_dim=hidden_dim,
        n_layers=n_layers,
        vocab_size=_vocab_size(m, key["vocab_size"]),
        n_ctx_train=n_ctx,
        norm_eps=_norm_eps(m, family, key["norm_eps"]),
        rope=ropes.rope,
        tied=OUTPUT not in file.tensors,
        sliding_window=window,
        sliding_layers=sliding_layers if window else (),
        rope_layers=family.rope_layers(n_layers, sliding_layers if window else ()),
        local_rope=ropes.local if window else None,
        temperature=ropes.temperature,
        experts=read_experts(file, family, hidden_dim, n_layers),
        xielu=read_xielu(m, n_layers) if family.has_xielu else (),
        n_next=n_next_in_file(file.tensors, n_layers) if family.next_names else 0,
        **heads,
        **_options(file, family, n_layers, dim / heads["n_heads"]),
    )
    config = with_latents(file, family, config, latent) if latent else config
    if family.recurrent is not None:
        config = checked_layers(file, family, family.recurrent.from_gguf(file, family, config))
    check_expert_counts(file, family, config)
    return config


def _n_ctx(m: Metadata, key: str) -> int:
    return m.get_int(key, minimum=2, maximum=MAX_CTX)


def _family(m: Metadata) -> Family:
    key = "general.architecture"
    architecture = m.get_str(key)
    if architecture not in FAMILIES:
        hint = f"these run: {', '.join(FAMILIES)}"
        raise UnsupportedModelError(
            m.path, key, expected="one that runs here", got=architecture, hint=hint
        )
    return FAMILIES[architecture]


def _options(file: GGUFFile, family: Family, n_layers: int, width: float) -> dict[str, Any]:
    """Factors, caps and biases that the family reads; 0 says nothing.

    Of one model of a family no file says that its scores are divided by the root of `width`.
    """
    m = file.metadata
    found: dict[str, Any] = {}
    if n_layers == family.wide_scores:
        found["attention_scale"] = width**-0.5
    if family.score_scale:
        found["attention_scale"] = family.score_scale
    keys = {field: f"{family.architecture}.{family.keys[field].gguf}" for field in OPTIONS
            if family.keys[field].gguf in family.reads}  # fmt: skip
    found |= {field: m.get_float(key) for field, key in keys.items() if m.states(key)}
    if family.architecture != _CAPPED and is_saved(m, family.architecture):
        found.pop("attn_softcap", None)
    return {**found, **_biases(file, family)}


_CAPPED = "gemma2"  # llama.cpp caps its scores alone; its saver states a cap of all
# What says in a file that there are biases, and norms.
_SAID_BY = {
    "qkv_bias": "attn_q.bias", "out_bias": "attn_output.bias", "mlp_bias": "ffn_up.bias",
    "head_norms": "attn_q_norm.weight",
}  # fmt: skip


def _biases(file: GGUFFile, family: Family) -> dict[str, bool]:
    """Which projections have biases, and whether heads have norms, where that is open."""
    fields = [field for fields in family.biases.values() for field in fields]
    return {field: any(name.endswith(f".{_SAID_BY[field]}") for name in file.tensors)
            for field in fields}  # fmt: skip


def check_type(m: Metadata) -> None:
    """Refuse what is no model, whatever architecture it is for."""
    got = m.get_str(_TYPE, "model")
    if got != "model":
        raise UnsupportedModelError(
            m.path, _TYPE, expected="model", got=got, hint=MERGE if got == "adapter" else ""
        )


def _attention(
    file: GGUFFile, family: Family, dim: int, sliding_layers: tuple[bool, ...]
) -> tuple[LatentConfig | None, dict[str, Any]]:
    """How keys and values are compressed, if they are, and the heads."""
    if not family.has_latents and not family.has_sizes:
        return None, _heads(file, family, dim)
    key = f"{family.architecture}.{family.keys['n_heads'].gguf}"
    n_heads = _of_every_layer(file.metadata, family, key, MAX_DIM)
    if family.has_sizes:
        return None, read_sizes(file, family, n_heads, sliding_layers)
    latent = read_latent(file, family, n_heads)
    return latent, {"n_heads": n_heads, "n_kv_heads": 1, "head_dim": latent.key_dim}


def _heads(file: GGUFFile, family: Family, dim: int) -> dict[str, Any]:
    """How many heads of what size there are, and what gates them."""
    m, a = file.metadata, family.architecture
    key, kv_key = (f"{a}.{family.keys[field].gguf}" for field in ("n_heads", "n_kv_heads"))
    layer_heads = heads_from_gguf(file, family)
    n_heads = max(layer_heads) if layer_heads else _of_every_layer(m, family, key, MAX_DIM)
    n_kv_heads = _kv_heads(m, family, kv_key, n_heads)
    if wrong := wanted_heads(layer_heads, n_kv_heads):
        raise ModelFileError(m.path, key, expected=wrong, got=list(layer_heads))
    head_dim = _head_dim(m, a, dim, n_heads)
    first = layer_heads[0] if layer_heads else n_heads
    gate_dim = gate_dim_from_gguf(file, family, first, head_dim)
    return {"n_heads": n_heads, "n_kv_heads": n_kv_heads, "head_dim": head_dim,
            "layer_heads": layer_heads, "gate_dim": gate_dim}  # fmt: skip


def _norm_eps(m: Metadata, family: Family, key: str) -> float:
    """The norms' epsilon, under the usual key too where a family reads that beside its own."""
    usual = KEYS["norm_eps"].gguf
    also = f"{family.architecture}.{usual}"
    return m.get_float(also if usual in family.reads and also in m else key)


def _kv_heads(m: Metadata, family: Family, key: str, n_heads: int) -> int:
    n_kv_heads = n_heads
    if key in m:
        n_kv_heads = _of_every_layer(m, family, key, n_heads, _nothing(family))
    _check_group(m, key, n_heads, n_kv_heads)
    return n_kv_heads


def _check_group(m: Metadata, key: str, n_heads: int, n_kv_heads: int) -> None:
    if n_heads % n_kv_heads:
        raise ModelFileError(
            m.path, key, expected=f"a divisor of the {n_heads} heads", got=n_kv_heads
        )
    if n_heads // n_kv_heads > MAX_GROUP:
        raise UnsupportedModelError(
            m.path,
            key,
            expected=f"at most {MAX_GROUP} query heads for each",
            got=f"{n_heads} for {n_kv_heads}",
        )


def _nothing(family: Family) -> Set[int]:
    """What says of a layer that it has no keys, or no network."""
    return {0} if family.recurrent is not None else set()


def _of_every_layer(
    m: Metadata, family: Family, key: str, maximum: int, without: Set[int] = frozenset()
) -> int:
    """A number of all layers, which a file may give for each; some may be `without`."""
    if key not in m or not isinstance(m.raw(key).value, np.ndarray):
        return m.get_int(key, minimum=1, maximum=maximum)
    stated = m.get_numbers(key, floats=False).tolist()
    # With those that guess ahead; as many as llama.cpp wants.
    n_layers = m.get_int(f"{family.architecture}.{KEYS['n_layers'].gguf}")
    if len(stated) != n_layers:
        expected = f"one for each of {n_layers} layers"
        raise ModelFileError(m.path, key, expected=expected, got=len(stated))
    different = set(stated) - without
    if len(different) != 1:
        raise UnsupportedModelError(
            m.path, key, expected="one number for all layers", got=f"{len(different)} numbers"
        )
    value = int(different.pop())
    if not 1 <= value <= maximum:
        raise ModelFileError(m.path, key, expected=f"from 1 to {maximum}", got=value)
    return value


def _hidden_dim(m: Metadata, family: Family, key: str) -> int:
    """The width of networks; an expert's where all layers have these and a file says no other."""
    of_experts = f"{family.architecture}.{EXPERT_KEYS['hidden_dim']}"
    says_one = key in m or of_experts not in m or not has_experts(m, family)
    return _of_every_layer(m, family, key if says_one else of_experts, MAX_DIM, _nothing(family))


def _check_scale(m: Metadata, family: Family, head_dim: int) -> None:
    """Scores are divided by the root of the head dimension, which 0 says too, unless the family
    reads something else.
    """
    name = family.keys["attention_scale"].gguf
    key = f"{family.architecture}.{name}"
    if name in family.reads or not m.states(key):
        return
    scale, wanted = m.get_float(key), family.score_scale or head_dim**-0.5
    if not math.isclose(scale, wanted, rel_tol=1e-6):
        raise UnsupportedModelError(m.path, key, expected=f"0 or {wanted:.7g}", got=scale)


def _head_dim(m: Metadata, a: str, dim: int, n_heads: int) -> int:
    given = m.get_int(f"{a}.attention.key_length", None, minimum=1, maximum=MAX_DIM)
    if given is None and dim % n_heads:
        raise ModelFileError(
            m.path, f"{a}.attention.head_count", expected=f"a divisor of {dim}", got=n_heads
        )
    head_dim = dim // n_heads if given is None else given
    if head_dim < MIN_HEAD_DIM or head_dim % 2:
        raise UnsupportedModelError(
            m.path, "head dimension", expected=f"an even number from {MIN_HEAD_DIM}", got=head_dim
        )
    _check_same(m, f"{a}.attention.value_length", "the head dimension", head_dim)
    return head_dim


def _check_same(m: Metadata, key: str, what: str, wanted: int) -> None:
    other = m.get_int(key, wanted)
    if other != wanted:
        raise UnsupportedModelError(m.path, key, expected=f"{what}, {wanted}", got=other)


def _vocab_size(m: Metadata, key: str) -> int:
    """The rows of the embedding, which the token list and the stated size must match."""
    n_tokens = len(m.get_strings("tokenizer.ggml.tokens"))
    if not 1 <= n_tokens <= MAX_VOCAB:
        raise ModelFileError(
            m.path, "tokenizer.ggml.tokens", expected=f"1 to {MAX_VOCAB} tokens", got=n_tokens
        )
    stated = m.get_int(key, n_tokens, maximum=MAX_VOCAB)
    if stated != n_tokens:
        raise ModelFileError(m.path, key, expected=f"the {n_tokens} tokens listed", got=stated)
    return n_tokens
