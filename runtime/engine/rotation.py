"""The table that rotary embedding looks positions up in: a row for each position.

A row has the cosines and sines of every rope of the model side by side, as its layers have one or
two of them, and at last what queries are multiplied by, if by anything: a number for each size of
heads.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.kernels.stages.rope import rope_table


class Rotation:
    """Makes rows of the table.

    Attributes:
        frequencies: of each rope.
    """

    def __init__(
        self, config: ModelConfig, factors: Mapping[str, NDArray[np.float64]], n_ctx: int
    ) -> None:
        self._config, self._ropes = config, _ropes(config)
        self.frequencies = [
            rope.frequencies(config.head_dim, n_ctx, factors if rope is config.rope else {})
            for rope in self._ropes
        ]

    @property
    def width(self) -> int:
        """Floats of a row."""
        return row_floats(self._config)

    def rows(self, begin: int, end: int) -> NDArray[np.float32]:
        """The rows of positions begin .. end - 1: float32 (n, width)."""
        parts = [
            rope_table(begin, end, frequencies, rope.attention_factor)
            for rope, frequencies in zip(self._ropes, self.frequencies, strict=True)
        ]
        for layer in _scaled(self._config):
            factors = self._config.query_factors(begin, end, layer)
            parts.append(factors[:, None].astype(np.float32))
        return np.concatenate(parts, axis=1)


def row_floats(config: ModelConfig) -> int:
    """Floats of a row of a model's table."""
    return _floats_of_ropes(config) + len(_scaled(config))


def rotation_words(config: ModelConfig, layer: int) -> dict[str, int]:
    """Where a row has what a layer takes; see record.ATTENTION."""
    rope = config.rope_of(layer)
    at = 4 * _n_features(config, config.rope) if rope is config.local_rope and rope else 0
    scaled = [config.head_dim_of(other) for other in _scaled(config)]
    factor = _floats_of_ropes(config) + scaled.index(config.head_dim_of(layer)) if scaled else 0
    return {
        "rope_at": at,
        "rope_stride": 4 * row_floats(config),
        "n_rotated": 0 if rope is None else _n_features(config, rope),
        "q_scale_at": 4 * factor,
    }


def _scaled(config: ModelConfig) -> list[int]:
    """A layer of each size of heads, where queries are multiplied by anything."""
    by_size = {config.head_dim_of(i): i for i in reversed(range(config.n_layers))}
    return sorted(by_size.values()) if config.scales_queries else []


def _ropes(config: ModelConfig) -> list[RopeConfig]:
    return [config.rope] if config.local_rope is None else [config.rope, config.local_rope]


def _floats_of_ropes(config: ModelConfig) -> int:
    return sum(_n_features(config, rope) for rope in _ropes(config))


def _n_features(config: ModelConfig, rope: RopeConfig) -> int:
    return rope.n_features or config.head_dim
