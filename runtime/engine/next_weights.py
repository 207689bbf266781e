"""The weights of a layer that guesses a token further ahead, with what it shares with its model.

Its logits are those of a large vocabulary's first tokens alone, since the matrix for all of them is
most of what such a layer reads (of GLM-4.7-Flash two thirds). Vocabularies made by merges have
their tokens in the order of these, the most frequent first, so that nothing has to be counted or
copied: the first rows of a matrix are a matrix. Of code and prose 94 % are among the first 32,768
tokens of Qwen's and Llama 3's vocabularies, and 98 % among twice as many. Sentencepiece's have
single characters last, and are guessed whole. Only guesses depend on any of it.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.weights import Matrix, ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.next_layer import INSTEAD, in_memory
from halfbyte.families.tensors import OUTPUT

N_FIRST = 1 << 15
_WORTH = 0.02  # of what a step of the model reads, that as many tokens more may cost


def n_guessed(output: Matrix, n_model: int, *, by_merges: bool) -> int:
    """How many of a vocabulary's tokens are guessed.

    Args:
        output: the matrix for all of them.
        n_model: bytes that a step of the model reads.
        by_merges: whether its tokens are in the order in which they were merged.
    """
    if not by_merges or output.n_rows < 2 * N_FIRST:
        return output.n_rows
    more = output.format.nbytes(N_FIRST, output.n_inputs)
    return 2 * N_FIRST if more <= _WORTH * n_model else N_FIRST


def with_shared(
    own: ModelWeights, model: ModelWeights, config: ModelConfig, *, by_merges: bool
) -> tuple[ModelConfig, ModelWeights]:
    """A layer's weights under the names of a model of one layer, and its logits' number.

    Args:
        own: as they are called in the file.
        model: of the model that it guesses for.
        config: of the layer (families/next_layer.py).
        by_merges: see n_guessed.
    """
    at = config.next_layer
    found = ModelWeights(
        own.memory, own.on_disk, in_memory(own.matrices, at), in_memory(own.experts, at),
        in_memory(own.vectors, at), model.rope_factors, arithmetic=model.arithmetic,
    )  # fmt: skip
    for name in INSTEAD.values():
        if name in model.vectors:
            found.vectors.setdefault(name, model.vectors[name])
        else:
            given = model.matrices.get(name, model.matrices["token_embd.weight"])
            found.matrices.setdefault(name, given)
    output = found.matrices[OUTPUT]
    n = n_guessed(output, model.nbytes_per_token, by_merges=by_merges)
    found.matrices[OUTPUT] = replace(output, n_rows=n, of_rows=output.n_rows)
    return replace(config, vocab_size=n), found


def last_norm(weights: ModelWeights, dim: int) -> NDArray[np.float32]:
    """The weight of the norm whose output such a layer takes, of a model or of the layer itself."""
    floats = (ctypes.c_float * dim).from_address(weights.vectors["output_norm.weight"])
    return np.array(floats, np.float32)
