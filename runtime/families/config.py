"""The hyperparameters of a model, under Meta's names, as its GGUF file states them.

Nothing is assumed: a number that the file does not give is an error, unless GGUF's documentation
defines what its absence means.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP

log = logging.getLogger(__name__)

ARCHITECTURES = ("llama", "qwen2")
_MAX_LAYERS, _MAX_DIM, _MAX_VOCAB, _MAX_CTX = 1024, 1 << 20, 1 << 22, 1 << 30
# GGUF's documented base for a file without rope.freq_base.
_DEFAULT_THETA = 10000.0


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary embedding of all head_dim features.

    Attributes:
        theta: the base of the angles.
        factor: positions are divided by it (linear scaling).
    """

    theta: float
    factor: float = 1.0

    def frequencies(self, head_dim: int) -> NDArray[np.float64]:
        """The angle per position of each pair of a head: float64 (head_dim / 2,)."""
        return self.theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim) / self.factor


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model's shape; see weights.expected_shapes for what follows from it.

    Attributes:
        sliding_window: positions that a token sees, its own included; 0: all before it.
    """

    architecture: str
    name: str
    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    n_ctx_train: int
    norm_eps: float
    rope: RopeConfig
    sliding_window: int = 0

    @property
    def rotates_halves(self) -> bool:
        """Whether the file's q and k rotate feature i with i + d / 2; see `interleaved_rows`."""
        return self.architecture == "qwen2"

    @property
    def has_qkv_biases(self) -> bool:
        """Whether q, k and v have biases."""
        return self.architecture == "qwen2"

    @classmethod
    def from_gguf(cls, file: GGUFFile) -> ModelConfig:
        """Read and check the configuration.

        Raises:
            ModelFileError: a number is missing, of another type or out of range.
            UnsupportedModelError: another architecture, or a variation that does not run.
        """
        m = file.metadata
        architecture = m.get_str("general.architecture")
        if architecture not in ARCHITECTURES:
            raise UnsupportedModelError(
                file.path,
                "general.architecture",
                expected=" or ".join(ARCHITECTURES),
                got=architecture,
            )
        a = architecture
        _refuse_variations(m, a)
        dim = m.get_int(f"{a}.embedding_length", minimum=1, maximum=_MAX_DIM)
        n_heads = m.get_int(f"{a}.attention.head_count", minimum=1, maximum=_MAX_DIM)
        n_kv_heads = m.get_int(f"{a}.attention.head_count_kv", n_heads, minimum=1, maximum=n_heads)
        if n_heads % n_kv_heads:
            raise ModelFileError(
                file.path,
                f"{a}.attention.head_count_kv",
                expected=f"a divisor of the {n_heads} heads",
                got=n_kv_heads,
            )
        if n_heads // n_kv_heads > MAX_GROUP:
            raise UnsupportedModelError(
                file.path,
                f"{a}.attention.head_count_kv",
                expected=f"at most {MAX_GROUP} query heads for each",
                got=f"{n_heads} for {n_kv_heads}",
            )
        return cls(
            architecture=architecture,
            name=m.get_str("general.name", ""),
            dim=dim,
            hidden_dim=m.get_int(f"{a}.feed_forward_length", minimum=1, maximum=_MAX_DIM),
            n_layers=m.get_int(f"{a}.block_count", minimum=1, maximum=_MAX_LAYERS),
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            head_dim=_head_dim(m, a, dim, n_heads),
            vocab_size=_vocab_size(file, a),
            n_ctx_train=m.get_int(f"{a}.context_length", minimum=2, maximum=_MAX_CTX),
            norm_eps=m.get_float(f"{a}.attention.layer_norm_rms_epsilon"),
            rope=RopeConfig(_theta(m, a), _linear_factor(m, a)),
            sliding_window=m.get_int(f"{a}.attention.sliding_window", 0, maximum=_MAX_CTX),
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


def interleaved_rows(n_heads: int, head_dim: int) -> NDArray[np.int64]:
    """For each row of a q or k that rotates neighbours, its row where halves are rotated.

    Row h d + 2i + j comes from h d + j d/2 + i.
    """
    rows = np.arange(n_heads * head_dim).reshape(n_heads, 2, head_dim // 2)
    return rows.swapaxes(1, 2).reshape(-1)


def _head_dim(m: Metadata, a: str, dim: int, n_heads: int) -> int:
    given = m.get_int(f"{a}.attention.key_length", None, minimum=1, maximum=_MAX_DIM)
    if given is None and dim % n_heads:
        raise ModelFileError(
            m.path, f"{a}.attention.head_count", expected=f"a divisor of {dim}", got=n_heads
        )
    head_dim = dim // n_heads if given is None else given
    if head_dim < 16 or head_dim % 2:
        raise UnsupportedModelError(
            m.path, "head dimension", expected="an even number from 16", got=head_dim
        )
    for key in (f"{a}.attention.value_length", f"{a}.rope.dimension_count"):
        other = m.get_int(key, head_dim)
        if other != head_dim:
            raise UnsupportedModelError(
                m.path, key, expected=f"the head dimension, {head_dim}", got=other
            )
    return head_dim


def _vocab_size(file: GGUFFile, a: str) -> int:
    """The rows of the embedding, which the token list and the stated size must match."""
    m = file.metadata
    n_tokens = len(m.get_strings("tokenizer.ggml.tokens"))
    if not 1 <= n_tokens <= _MAX_VOCAB:
        raise ModelFileError(
            m.path, "tokenizer.ggml.tokens", expected=f"1 to {_MAX_VOCAB} tokens", got=n_tokens
        )
    stated = m.get_int(f"{a}.vocab_size", n_tokens, maximum=_MAX_VOCAB)
    if stated != n_tokens:
        raise ModelFileError(
            m.path, f"{a}.vocab_size", expected=f"the {n_tokens} tokens listed", got=stated
        )
    return n_tokens


def _theta(m: Metadata, a: str) -> float:
    key = f"{a}.rope.freq_base"
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
    log.warning("%s: no %s; taking GGUF's default of %g", m.path, key, _DEFAULT_THETA)
    return _DEFAULT_THETA
