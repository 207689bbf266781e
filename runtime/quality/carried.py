"""What float arithmetic carries of a token from layer to layer: a row of numbers.

First the residual stream, then what layers have of the token by themselves (families/per_layer.py),
and the keys and values that later layers read, rotated and normed, once they are made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ModelConfig
from halfbyte.families.per_layer import TABLE, GateRows, JoinRows
from halfbyte.families.stages import Project, Stage
from halfbyte.quality.activations import activate
from halfbyte.quality.layer_source import LayerSource
from halfbyte.quality.norms import rms_norm

F32 = NDArray[np.float32]
Ids = NDArray[np.int64]
_HALF_ROOT = np.float32(2.0**-0.5)


class Carried:
    """Where a row has what.

    Attributes:
        width: of a row.
    """

    def __init__(self, c: ModelConfig) -> None:
        self._config, self.width = c, c.dim + c.n_layers * c.per_layer_dim
        self._keys: dict[int, slice] = {}
        for i in range(c.n_layers):
            source = c.kv_layer(i)
            if source != i and source not in self._keys:
                begin, self.width = self.width, self.width + 2 * c.kv_dim_of(source)
                self._keys[source] = slice(begin, self.width)

    def begin(self, x: F32, per_layer: F32 | None) -> F32:
        """Rows before the first layer: (..., width)."""
        if self.width == self._config.dim:
            return x
        out = np.zeros((*x.shape[:-1], self.width), np.float32)
        out[..., : x.shape[-1]] = x
        if per_layer is not None:
            out[..., x.shape[-1] :][..., : per_layer.shape[-1]] = per_layer
        return out

    def per_layer(self, rows: F32, layer: int) -> F32:
        """A layer's own features: (n, per_layer_dim)."""
        n = self._config.per_layer_dim
        begin = self._config.dim + layer * n
        return rows[:, begin : begin + n]

    def keep(self, rows: F32, layer: int, keys: F32, values: F32) -> None:
        """Write a layer's keys and values, (n, kv_dim) each, where others read them."""
        if layer in self._keys:
            rows[:, self._keys[layer]] = np.concatenate([keys, values], axis=1)

    def kept(self, rows: F32, layer: int) -> list[F32]:
        """The keys and values that a layer reads."""
        return np.split(rows[:, self._keys[self._config.kv_layer(layer)]], 2, axis=1)


def inputs_of_layers(
    c: ModelConfig, stages: list[Stage], source: LayerSource, ids: Ids, x: F32
) -> F32 | None:
    """What stages behind the embedding x make for the layers: (..., n); None: nothing."""
    made = None
    for stage in stages:
        match stage:
            case Project():
                (name,) = stage.weights
                made = x @ source.tensor(stage.tensor(name)).T * np.float32(stage.scale)
            case JoinRows() if made is not None:
                made = _joined(c, stage, source, ids, made)
            case _:
                raise TypeError(f"no float arithmetic for {stage} before the first layer")
    return made


def _joined(c: ModelConfig, stage: JoinRows, source: LayerSource, ids: Ids, made: F32) -> F32:
    unique, places = np.unique(ids, return_inverse=True)
    rows = source.rows(f"{TABLE}.weight", unique)[places.reshape(ids.shape)]
    weight = source.tensor(stage.tensor(stage.weight))
    by_layer = made.reshape(*ids.shape, c.n_layers, c.per_layer_dim)
    normed = rms_norm(by_layer, weight, c.norm_eps).reshape(made.shape)
    out: F32 = (normed + np.float32(c.per_layer_dim**0.5) * rows) * _HALF_ROOT
    return out


def gated(stage: GateRows, c: ModelConfig, x: F32, own: F32) -> F32:
    """What a layer adds, before its last matrix."""
    return activate("gelu_tanh", x, c, stage.layer) * own
