"""Qwen2 and Qwen2.5, Coder too: Llama with biases of q, k and v (arXiv:2407.10671).

A GGUF file has q and k in the order of halves. config.json states a window that is not used.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.family import Family
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec


def stages(c: ModelConfig) -> Iterator[Stage]:
    """The forward pass."""
    yield from blocks.embedding()
    for i in range(c.n_layers):
        yield from blocks.attention(i, biases=True)
        yield from blocks.feed_forward(i)
    yield from blocks.logits(c)


def tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What it takes."""
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        yield from blocks.attention_tensors(c, i, biases=True)
        yield from blocks.feed_forward_tensors(c, i)
    yield from blocks.logits_tensors(c)


FAMILY = Family(
    architecture="qwen2",
    model_types=("qwen2",),
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    only={"hidden_act": "silu", "mlp_bias": False, "use_sliding_window": False},
)
