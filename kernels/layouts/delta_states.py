"""How the states of gated delta nets lie in memory: kernels/stages/delta_net.py.

Of a value head, 32 columns of all rows after the other; columns behind the last are zeros.
"""

from __future__ import annotations

TILE = 2  # vectors of columns
TILE_NBYTES = 64 * TILE
TOKENS = 16  # that are convolved together: their gates fill a vector


def columns(value_dim: int) -> int:
    """Columns of a state with their padding."""
    return -(-value_dim // (16 * TILE)) * 16 * TILE


def work_nbytes(key_dim: int, value_dim: int, n_parts: int, n_taps: int) -> int:
    """Bytes of a thread's own memory that a key head with its `n_parts` value heads takes."""
    values = 4 * columns(value_dim)
    row, states = 8 * key_dim + n_parts * values, n_parts * key_dim * values
    return (2 * n_taps - 1 + 2 * TOKENS) * row + TOKENS * values + n_parts * 128 + states
