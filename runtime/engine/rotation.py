"""The tables that rotary embedding looks positions up in: a row for each position.

A row has the cosines and sines of every rope of the model side by side, as its layers have one or
two of them, and at last what queries are multiplied by, if by anything: a number for each size of
heads. Rows are made by pages of positions, those that steps ask for, so that a position gets the
same bits whatever the step. As many pages stay as the rows of a step may lie in; others are made
again, which takes less than a hundredth of what computing their positions does. In a model with two
ropes a row can take half of what its position's keys and values do.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.memory import empty
from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.stages.rope import rope_table


class Rotation:
    """Makes the rows.

    Attributes:
        frequencies: of each rope.
    """

    def __init__(
        self, config: ModelConfig, factors: Mapping[str, NDArray[np.float64]], n_ctx: int
    ) -> None:
        self._config, self._ropes = config, _ropes(config)
        n_ctx = min(n_ctx, config.n_exact or n_ctx)  # how far apart a query and a key may be
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

    def row(self, position: int) -> NDArray[np.float32]:
        """The row of a position, as that of its page: float32 (width,)."""
        page, slot = divmod(position, PAGE)
        return self.rows(page * PAGE, (page + 1) * PAGE)[slot].copy()


class RotationPages:
    """Rows in memory, for one step after another, of MAX_BATCH pages at most."""

    def __init__(self, rotation: Rotation) -> None:
        self._rotation, self._nbytes = rotation, 4 * rotation.width
        # Rows and their address; what was asked for last is last.
        self._pages: dict[int, tuple[NDArray[np.float32], int]] = {}

    def addresses(self, out: NDArray[np.int64], begin: int) -> None:
        """Fill in the addresses of the rows of positions from `begin` on: int64 (n,).

        They are valid until rows of MAX_BATCH other pages were asked for.
        """
        at, n = 0, len(out)
        while at < n:
            page, slot = divmod(begin + at, PAGE)
            n_here = min(PAGE - slot, n - at)
            first = self._page(page) + slot * self._nbytes
            out[at : at + n_here] = range(first, first + n_here * self._nbytes, self._nbytes)
            at += n_here

    def _page(self, page: int) -> int:
        """The address of a page's rows."""
        found = self._pages.pop(page, None)
        if found is None:
            rows = empty("rotary embedding", (PAGE, self._rotation.width), np.float32)
            rows[:] = self._rotation.rows(page * PAGE, (page + 1) * PAGE)
            while len(self._pages) >= MAX_BATCH:
                del self._pages[next(iter(self._pages))]
            found = rows, int(rows.ctypes.data)
        self._pages[page] = found
        return found[1]


def rotation_nbytes(config: ModelConfig, n_ctx: int) -> int:
    """Bytes of the rows that are kept, at most, of sequences of up to n_ctx positions."""
    return 4 * row_floats(config) * PAGE * min(-(-n_ctx // PAGE), MAX_BATCH)


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
