"""The weights of a layer that guesses a token further ahead, with what it shares with its model.

Its logits are those of a vocabulary's first tokens alone, where that has many: the matrix for all
of them is most of what such a layer reads (of GLM-4.7-Flash two thirds), and tokens stand in a
vocabulary in the order in which they were made, the most frequent ones first. So nothing has to be
counted or copied: the first rows of a matrix are a matrix. Only guesses depend on it.
"""

from __future__ import annotations

from dataclasses import replace

from halfbyte.engine.weights import ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.next_layer import INSTEAD, in_memory
from halfbyte.families.tensors import OUTPUT

N_GUESSED = 1 << 15  # tokens of a large vocabulary that are guessed


def n_guessed(n_vocab: int) -> int:
    """How many of a vocabulary's tokens are."""
    return N_GUESSED if n_vocab >= 2 * N_GUESSED else n_vocab


def with_shared(
    own: ModelWeights, model: ModelWeights, config: ModelConfig
) -> tuple[ModelConfig, ModelWeights]:
    """A layer's weights under the names of a model of one layer, and its logits' number.

    Args:
        own: as they are called in the file.
        model: of the model that it guesses for.
        config: of the layer (families/next_layer.py).
    """
    at = config.next_layer
    found = ModelWeights(
        own.memory, own.on_disk, in_memory(own.matrices, at), in_memory(own.experts, at),
        in_memory(own.vectors, at), model.rope_factors, shares=model,
    )  # fmt: skip
    for name in INSTEAD.values():
        if name in model.vectors:
            found.vectors.setdefault(name, model.vectors[name])
        else:
            given = model.matrices.get(name, model.matrices["token_embd.weight"])
            found.matrices.setdefault(name, given)
    output, n = found.matrices[OUTPUT], n_guessed(config.vocab_size)
    found.matrices[OUTPUT] = replace(output, n_rows=n, of_rows=output.n_rows)
    return replace(config, vocab_size=n), found
