"""The forward pass of a Llama model in float32 NumPy, with one layer's weights in memory at a time.

It measures and calibrates conversions: many windows of tokens go through a layer together, and
only their hidden states outlive it. There is no cache and there are no quantized activations, so
what differs between two models is their weights alone.

    B windows, T tokens a window, H heads, G kv heads, D head_dim, C dim

Source: the Llama papers' equations; tensor names and the order of q's and k's rows are GGUF's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ModelConfig
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.quantizers.quantize import dequantize

F32 = NDArray[np.float32]
Ids = NDArray[np.int64]
# Called with the matrices that share inputs, by name, and these inputs, (tokens, K).
Hook = Callable[[tuple[str, ...], F32], None]

# The matrices of a layer in the order in which they are needed; those of a group share inputs.
GROUPS = (("attn_q", "attn_k", "attn_v"), ("attn_output",), ("ffn_gate", "ffn_up"), ("ffn_down",))
_N_CHUNK_TOKENS = 4096
_N_CHUNK_WEIGHTS = 1 << 22
_N_QUERIES = 512


@dataclass(frozen=True, slots=True)
class FloatConfig:
    """What the forward pass needs to know beside the tensors.

    Attributes:
        frequencies: angle per position of each pair of a head, float64 (head_dim / 2,).
        sliding_window: positions that a token sees, itself included; 0: all before it.
        rotates_halves: whether RoPE rotates features i and i + head_dim / 2, or neighbours.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    norm_eps: float
    frequencies: NDArray[np.float64]
    sliding_window: int = 0
    rotates_halves: bool = False


class LayerSource(Protocol):
    """Where weights come from."""

    @property
    def config(self) -> FloatConfig:
        """The model's shape."""

    def __contains__(self, name: str) -> bool:
        """Whether there is such a tensor; `output.weight` and biases need not be."""

    def tensor(self, name: str) -> F32:
        """A whole tensor by its GGUF name, q and k in GGUF's order."""


class GGUFSource:
    """The tensors of a GGUF file, dequantized."""

    def __init__(self, file: GGUFFile, config: ModelConfig) -> None:
        self._file = file
        self.config = FloatConfig(
            config.n_layers, config.n_heads, config.n_kv_heads, config.head_dim, config.norm_eps,
            config.rope.frequencies(config.head_dim), config.sliding_window,
            config.rotates_halves,
        )  # fmt: skip

    def __contains__(self, name: str) -> bool:
        return name in self._file.tensors

    def tensor(self, name: str) -> F32:
        """See LayerSource."""
        info = self._file.tensors[name]
        if info.format is None:
            raise ValueError(f"{name}: type {info.type_name} cannot be dequantized")
        n = info.shape[-1]
        rows = self._file.data(name).reshape(-1, info.format.row_nbytes(n))
        values = np.empty((len(rows), n), np.float32)
        step = max(1, _N_CHUNK_WEIGHTS // n)
        for begin in range(0, len(rows), step):
            chunk = rows[begin : begin + step]
            values[begin : begin + step] = dequantize(chunk, info.format, n)
        self._file.release(name)
        return values.reshape(info.shape)


class FloatModel:
    """A model whose layers are read when they are used.

    Hooks of its methods get short names ("attn_q"); see `hidden_states` for the whole ones.
    """

    def __init__(self, source: LayerSource) -> None:
        self.source, self.config = source, source.config
        frequencies = self.config.frequencies
        if "rope_freqs.weight" in source:  # divisors: how Llama 3's scaling is stored
            frequencies = frequencies / source.tensor("rope_freqs.weight")
        self._frequencies = frequencies

    def embed(self, ids: Ids) -> F32:
        """Hidden states before the first layer: (B, T, C) for ids (B, T)."""
        return self.source.tensor("token_embd.weight")[ids]

    def layer_weights(self, i: int) -> dict[str, F32]:
        """A layer's tensors by short name ("attn_q"), biases as "attn_q.bias"."""
        names = [name for group in GROUPS for name in group] + ["attn_norm", "ffn_norm"]
        found = {name: self.source.tensor(f"blk.{i}.{name}.weight") for name in names}
        for name in names:
            if f"blk.{i}.{name}.bias" in self.source:
                found[f"{name}.bias"] = self.source.tensor(f"blk.{i}.{name}.bias")
        return found

    def layer(self, w: Mapping[str, F32], x: F32, hook: Hook | None = None) -> None:
        """Send hidden states (B, T, C) through a layer, in place; `hook` sees the inputs."""
        for chunk in chunks(x):
            for names, values in self.layer_steps(w, chunk):
                if not names:
                    chunk[:] = values
                elif hook is not None:
                    hook(names, values)

    def layer_steps(self, w: Mapping[str, F32], x: F32) -> Iterator[tuple[tuple[str, ...], F32]]:
        """One layer, step by step, for a few windows: x (b, T, C), which stays as it is.

        Yields each of GROUPS with the inputs (b T, K) that its matrices are about to get, which
        are looked up in `w` only afterwards; at last () and the layer's result (b, T, C).
        """
        normed = _norm(x, w["attn_norm"], self.config.norm_eps).reshape(-1, x.shape[-1])
        yield GROUPS[0], normed
        q, k, v = (_linear(w, name, normed) for name in GROUPS[0])
        heads = self._attention(q, k, v, x.shape[0])
        yield GROUPS[1], heads
        x = x + _linear(w, "attn_output", heads).reshape(x.shape)
        normed = _norm(x, w["ffn_norm"], self.config.norm_eps).reshape(-1, x.shape[-1])
        yield GROUPS[2], normed
        hidden = _silu(_linear(w, "ffn_gate", normed))
        hidden *= _linear(w, "ffn_up", normed)
        yield GROUPS[3], hidden
        yield (), x + _linear(w, "ffn_down", hidden).reshape(x.shape)

    def logits(self, x: F32, hook: Hook | None = None) -> Iterator[F32]:
        """Logits of hidden states (B, T, C) behind the last layer: (T, vocab), window by window."""
        norm = self.source.tensor("output_norm.weight")
        name = "output" if "output.weight" in self.source else "token_embd"
        weight = self.source.tensor(f"{name}.weight")
        for window in x:
            normed = _norm(window, norm, self.config.norm_eps)
            if hook is not None:
                hook((f"{name}.weight",), normed)
            yield normed @ weight.T

    def _attention(self, q: F32, k: F32, v: F32, n_windows: int) -> F32:
        """Causal attention within each window: q (b T, H D), k and v (b T, G D) -> (b T, H D)."""
        c = self.config
        n, d, group = len(q) // n_windows, c.head_dim, c.n_heads // c.n_kv_heads
        angles = np.outer(np.arange(n), self._frequencies)
        cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        out = np.empty_like(q)
        for b in range(n_windows):
            rows = slice(b * n, (b + 1) * n)
            queries, keys = (_rope(_heads(x[rows], d), cos, sin, c.rotates_halves) for x in (q, k))
            qs, values = queries.reshape(c.n_kv_heads, group, n, d), _heads(v[rows], d)
            for begin in range(0, n, _N_QUERIES):
                end = min(begin + _N_QUERIES, n)
                scores = qs[:, :, begin:end] @ keys[:, None, :end].swapaxes(-1, -2)
                scores *= np.float32(d**-0.5)
                scores += _mask(begin, end, c.sliding_window)
                heads = _softmax(scores) @ values[:, None, :end]
                out[b * n + begin : b * n + end] = (
                    heads.reshape(c.n_heads, end - begin, d).swapaxes(0, 1).reshape(end - begin, -1)
                )
        return out


def hidden_states(model: FloatModel, ids: Ids, hook: Hook | None = None) -> F32:
    """Hidden states behind the last layer: float32 (B, T, C) for ids (B, T).

    `hook` gets the whole names of the matrices ("blk.0.attn_q.weight").
    """
    x = model.embed(ids)
    for i in range(model.config.n_layers):
        model.layer(model.layer_weights(i), x, hook and _of_layer(hook, i))
    return x


def _of_layer(hook: Hook, i: int) -> Hook:
    return lambda names, x: hook(tuple(f"blk.{i}.{name}.weight" for name in names), x)


def chunks(x: F32) -> Iterator[F32]:
    """Views of as many windows as make about `_N_CHUNK_TOKENS` tokens."""
    step = max(1, _N_CHUNK_TOKENS // x.shape[1])
    for begin in range(0, len(x), step):
        yield x[begin : begin + step]


def _linear(w: Mapping[str, F32], name: str, x: F32) -> F32:
    out: F32 = x @ w[name].T
    if f"{name}.bias" in w:
        out += w[f"{name}.bias"]
    return out


def _norm(x: F32, weight: F32, eps: float) -> F32:
    mean = np.square(x).mean(-1, keepdims=True)
    out: F32 = x / np.sqrt(mean + np.float32(eps)) * weight
    return out


def _heads(x: F32, head_dim: int) -> F32:
    """(T, heads D) as (heads, T, D)."""
    return x.reshape(len(x), -1, head_dim).swapaxes(0, 1)


def _rope(x: F32, cos: F32, sin: F32, rotates_halves: bool) -> F32:
    d = x.shape[-1]
    first, second = slice(0, d, 2), slice(1, d, 2)
    if rotates_halves:
        first, second = slice(0, d // 2), slice(d // 2, d)
    a, b = x[..., first], x[..., second]
    out = np.empty(x.shape, np.float32)
    out[..., first] = a * cos - b * sin
    out[..., second] = a * sin + b * cos
    return out


def _mask(begin: int, end: int, window: int) -> F32:
    """0 where query begin + i sees key j < end, else -inf: (end - begin, end)."""
    distance = np.arange(begin, end)[:, None] - np.arange(end)
    hidden = (distance < 0) | (distance >= window if window else False)
    return np.where(hidden, np.float32(-np.inf), np.float32(0))


def _softmax(x: F32) -> F32:
    x -= x.max(-1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(-1, keepdims=True)
    return x


def _silu(x: F32) -> F32:
    with np.errstate(over="ignore"):  # e ** -x becomes infinite and the result 0, as it should
        out: F32 = x / (1 + np.exp(-x))
    return out
