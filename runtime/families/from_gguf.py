"""A model's configuration as its GGUF file states it.

Nothing is assumed: a number that the file does not give is an error, unless GGUF's documentation
defines what its absence means.
"""

from __future__ import annotations

import logging

from halfbyte.adapters import MERGE
from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import (
    DEFAULT_THETA,
    KEYS,
    MAX_CTX,
    MAX_DIM,
    MAX_LAYERS,
    MAX_VOCAB,
    MIN_HEAD_DIM,
    ModelConfig,
    RopeConfig,
)
from halfbyte.families.registry import FAMILIES
from halfbyte.families.tensors import OUTPUT
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP

log = logging.getLogger(__name__)

_TYPE = "general.type"


def config_from_gguf(file: GGUFFile) -> ModelConfig:
    """Read and check the configuration.

    Raises:
        ModelFileError: a number is missing, of another type or out of range.
        UnsupportedModelError: another architecture, or a variation that does not run.
    """
    m = file.metadata
    check_type(m)
    architecture = m.get_str("general.architecture")
    if architecture not in FAMILIES:
        raise UnsupportedModelError(
            file.path, "general.architecture", expected=" or ".join(FAMILIES), got=architecture
        )
    key = {field: f"{architecture}.{keys.gguf}" for field, keys in KEYS.items()}
    _refuse_variations(m, architecture)
    dim = m.get_int(key["dim"], minimum=1, maximum=MAX_DIM)
    n_heads = m.get_int(key["n_heads"], minimum=1, maximum=MAX_DIM)
    n_kv_heads = m.get_int(key["n_kv_heads"], n_heads, minimum=1, maximum=n_heads)
    _check_group(m, key["n_kv_heads"], n_heads, n_kv_heads)
    return ModelConfig(
        architecture=architecture,
        name=m.get_str("general.name", ""),
        dim=dim,
        hidden_dim=m.get_int(key["hidden_dim"], minimum=1, maximum=MAX_DIM),
        n_layers=m.get_int(key["n_layers"], minimum=1, maximum=MAX_LAYERS),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=_head_dim(m, architecture, dim, n_heads),
        vocab_size=_vocab_size(m, key["vocab_size"]),
        n_ctx_train=m.get_int(key["n_ctx_train"], minimum=2, maximum=MAX_CTX),
        norm_eps=m.get_float(key["norm_eps"]),
        rope=RopeConfig(_theta(m, key["rope_theta"]), _linear_factor(m, architecture)),
        tied=OUTPUT not in file.tensors,
        sliding_window=m.get_int(key["sliding_window"], 0, maximum=MAX_CTX),
    )


def check_type(m: Metadata) -> None:
    """Refuse what is no model, whatever architecture it is for."""
    got = m.get_str(_TYPE, "model")
    if got != "model":
        raise UnsupportedModelError(
            m.path, _TYPE, expected="model", got=got, hint=MERGE if got == "adapter" else ""
        )


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


def _refuse_variations(m: Metadata, a: str) -> None:
    """Refuse what would change the result if it were ignored."""
    scaling = f"{a}.rope.scaling.type"
    if m.get_str(scaling, "none") not in ("none", "linear"):
        raise UnsupportedModelError(
            m.path, scaling, expected="none or linear", got=m.get_str(scaling)
        )
    key = f"{a}.expert_count"
    if m.get_int(key, 0) != 0:
        raise UnsupportedModelError(m.path, key, expected="0", got=m.get_int(key))


def _linear_factor(m: Metadata, a: str) -> float:
    """What positions are divided by; older files have it under another key."""
    kind, factor = m.get_str(f"{a}.rope.scaling.type", ""), f"{a}.rope.scaling.factor"
    if kind == "linear" or (kind == "" and factor in m):
        return m.get_float(factor)
    return m.get_float(f"{a}.rope.scale_linear", 1.0)


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
    for key in (f"{a}.attention.value_length", f"{a}.rope.dimension_count"):
        other = m.get_int(key, head_dim)
        if other != head_dim:
            raise UnsupportedModelError(
                m.path, key, expected=f"the head dimension, {head_dim}", got=other
            )
    return head_dim


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


def _theta(m: Metadata, key: str) -> float:
    theta = m.get_float(key, None)
    if theta is not None:
        return theta
    # Converters of August 2023 left it out of Code Llama's files, whose base is 1e6.
    if "code" in m.get_str("general.name", "").lower():
        raise ModelFileError(
            m.path,
            key,
            expected="1000000 for Code Llama",
            got="no such key",
            hint="the file was made by an old converter: convert the model again",
        )
    log.warning("%s: no %s; taking GGUF's default of %g", m.path, key, DEFAULT_THETA)
    return DEFAULT_THETA
