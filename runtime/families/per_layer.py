"""Embeddings that each layer has of its own, as stages and as tensors: Gemma 4's E sizes.

A table has a row for each token with `per_layer_dim` features for every layer, by far the most
numbers of such a model. It stays in the file: a step reads the rows of its tokens (row_table.py).
Buffers, for T tokens and n = n_layers per_layer_dim:

rows        (T, n)              the table's rows of the step's tokens, as floats
per_layer   (T, n)              what the layers take: made of rows and of the tokens' embeddings
gated       (T, per_layer_dim)  what a layer adds, before its last matrix

Source: transformers' modeling_gemma4.py; tensor names are GGUF's.
"""

from __future__ import annotations

from collections.abc import Iterator

from halfbyte.families import blocks
from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import PostNorm, Project, Stage
from halfbyte.families.tensors import TensorSpec
from halfbyte.lazy_dataclass import dataclass

TABLE = "per_layer_token_embd"
PROJECTION, _NORM = "per_layer_model_proj", "per_layer_proj_norm"
_GATE, _OUT, _POST_NORM = "inp_gate", "proj", "post_norm"


@dataclass(frozen=True, slots=True)
class JoinRows(Stage):
    """per_layer = (RMSNorm(per_layer) weight + sqrt(per_layer_dim) rows) / sqrt(2), layer by layer.

    The norm is of a layer's features, and its weight is that of all of them.
    """

    weight: str = _NORM
    table: str = TABLE

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage; the table is no tensor in memory."""
        return ((self.weight, "weight"),)


@dataclass(frozen=True, slots=True)
class GateRows(Stage):
    """gated = gelu_tanh(gated) * the layer's features of per_layer."""


def inputs(c: ModelConfig) -> Iterator[Stage]:
    """What the layers take of a token, made before the first of them."""
    yield Project((PROJECTION,), "x", "per_layer", scale=c.dim**-0.5)
    yield JoinRows()


def addition(i: int, scale: str) -> Iterator[Stage]:
    """x = scale (x + RMSNorm(proj(gelu(inp_gate x) * per_layer)))."""
    yield Project((_GATE,), "x", "gated", layer=i)
    yield GateRows(layer=i)
    yield Project((_OUT,), "gated", "branch", layer=i)
    yield PostNorm(_POST_NORM, scale=scale, layer=i)


def input_tensors(c: ModelConfig) -> Iterator[TensorSpec]:
    """What `inputs` takes."""
    n = c.n_layers * c.per_layer_dim
    table = TensorSpec(
        f"{TABLE}.weight", "model.embed_tokens_per_layer.weight", (c.vocab_size, n), in_file=True
    )
    yield table
    hf = "model.per_layer_model_projection"
    yield from blocks.linear_tensors(PROJECTION, hf, (n, c.dim))
    yield from blocks.norm_tensors(_NORM, "model.per_layer_projection_norm", c.per_layer_dim)


def addition_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    """What `addition` takes beside the scale."""
    at, hf, n = f"blk.{i}.", f"model.layers.{i}.", c.per_layer_dim
    yield from blocks.linear_tensors(f"{at}{_GATE}", f"{hf}per_layer_input_gate", (n, c.dim))
    yield from blocks.linear_tensors(f"{at}{_OUT}", f"{hf}per_layer_projection", (c.dim, n))
    yield from blocks.norm_tensors(f"{at}{_POST_NORM}", f"{hf}post_per_layer_input_norm", c.dim)
