"""Models of random weights, packed as the engine has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.sequence import Sequence as Tokens
from halfbyte.engine.weights import Experts, Matrix, ModelWeights, n_used
from halfbyte.families.config import ModelConfig
from halfbyte.families.registry import family_of
from halfbyte.families.tensors import ROPE_FREQS
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.pool import Pool

from .shapes import N_CTX, Shape


@dataclass
class Model:
    """A model's configuration, its packed weights and what they stand for."""

    shape: Shape
    config: ModelConfig
    weights: ModelWeights
    exact: dict[str, NDArray[np.float32]]

    def engine(self, pool: Pool) -> Engine:
        """An engine of its own; the weights are shared."""
        own = Pool(pool.n_threads)  # which stops when the engine is dropped
        return Engine(self.config, self.weights, own, self.shape.kv_type, N_CTX)

    def tokens(self, n: int, seed: int = 0) -> list[int]:
        """Random token ids."""
        return np.random.default_rng(seed).integers(0, self.shape.vocab_size, n).tolist()


def build(shape: Shape, pool: Pool, seed: int = 1) -> Model:
    """Random weights that keep activations at size 1."""
    rng = np.random.default_rng(seed)
    config, arithmetic = shape.config(), shape.arithmetic
    weights = ModelWeights(np.empty(0, np.uint8), arithmetic=arithmetic)
    arrays, exact = [], {}
    if shape.has_divisors:
        weights.rope_factors[ROPE_FREQS] = np.geomspace(1, 8, config.head_dim // 2)
    taps = {spec.name for spec in family_of(config).tensors(config) if spec.is_taps}
    for name, dims in _in_memory(config):
        if name == ROPE_FREQS:
            continue
        if name in taps:
            exact[name] = rng.standard_normal(dims).astype(np.float32)
            row = np.zeros((dims[1], padded(dims[0])), np.float32)
            row[:, : dims[0]] = exact[name].T
            weights.vectors[name] = row.ctypes.data
            arrays.append(row)
            continue
        if len(dims) == 1 or name.endswith(".bias"):
            exact[name] = (1 + 0.1 * rng.standard_normal(dims)).astype(np.float32)
            if name.endswith("ssm_a"):  # by which states decay
                exact[name] *= np.float32(-0.1)
            row = np.zeros((*dims[:-1], padded(dims[-1])), np.float32)
            row[..., : dims[-1]] = exact[name]
            weights.vectors[name] = row.ctypes.data
            arrays.append(row)
            continue
        fmt = shape.format(name)
        kind = gguf.GGMLQuantizationType[fmt.name]
        *n, n_rows, n_inputs = dims
        w = (rng.standard_normal(dims) / np.sqrt(n_inputs)).astype(np.float32)
        rows = gguf.quants.quantize(w, kind).view(np.uint8).reshape(*n, n_rows, -1)
        exact[name] = gguf.quants.dequantize(rows, kind).astype(np.float32).reshape(dims)
        packed = np.empty((*(n or [1]), fmt.nbytes(n_rows, n_inputs)), np.uint8)
        for out, matrix in zip(packed, rows if n else [rows], strict=True):
            pack(pool, matrix, fmt, n_inputs, out)
        first = Matrix(fmt, n_rows, n_inputs, packed.ctypes.data, arithmetic=arithmetic)
        if n:
            weights.experts[name] = Experts(first, *n, n_used(config, name))
        else:
            weights.matrices[name] = first
        arrays.append(packed)
    weights.test_arrays = arrays  # keeps them alive
    return Model(shape, config, weights, exact)


def _in_memory(config: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a model's tensors; of fused ones those of their parts."""
    for spec in family_of(config).tensors(config):
        for name, n_rows in spec.parts or ((spec.name, spec.shape[0]),):
            yield name, (n_rows, *spec.shape[1:])


def run(
    engine: Engine,
    tokens: Sequence[int],
    chunks: Sequence[int],
    sequence: object = None,
    *,
    guessed: bool = False,
) -> NDArray[np.float32]:
    """Logits (T, V) of tokens that are given chunk by chunk to a new sequence, or to one's end.

    Where they are guessed, it can be cut back to anywhere in the last chunk.
    """
    assert sum(chunks) == len(tokens)
    sequence = sequence or engine.new_sequence()
    out, at = [], 0
    for n in chunks:
        part = tokens[at : at + n]
        out.append(engine.forward([Span(sequence, part, n, n_guessed=n * guessed)]))
        at += n
    return np.concatenate(out)


class Watched:
    """A sequence whose pages hold NaN as soon as it has let them go."""

    def __init__(self, sequence: Tokens) -> None:
        self.sequence, self._seen = sequence, set[Any]()

    def run(self, engine: Engine, tokens: list[int]) -> NDArray[np.float32]:
        """Logits of tokens that are appended."""
        span = Span(self.sequence, tokens, len(tokens))
        span.reserve()
        held = {page for page in self.sequence.kv.windowed if page is not None}
        for page in self._seen - held:
            page.data[:] = 255
        self._seen = held
        return engine.forward([span])
