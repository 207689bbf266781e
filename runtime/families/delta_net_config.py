"""The shape of gated delta nets: Qwen3-Next's and Qwen3.5's recurrent layers (delta_net.py)."""

from __future__ import annotations

from halfbyte.families.states import floats_nbytes
from halfbyte.kernels.layouts.delta_states import columns
from halfbyte.kernels.layouts.panels import STRIP_ROWS
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class DeltaNet:
    """See states.Recurrence. A row is [q, k, v | b and a | z], each in strips of its own.

    Attributes:
        n_key_heads, n_value_heads: as many value heads share each key head.
        key_dim, value_dim: features of a head, a multiple of 16.
        n_taps: positions that a convolution takes, its own included.
        is_tiled: how a file has value heads: the key head of value head j is j % n_key_heads, and b
            and a are matrices of their own (Qwen3.5's). Else neighbours share one, and one matrix
            has b and a of each key head's in turn (Qwen3-Next's).
        is_fused: whether a file has q, k, v and z of each key head in one matrix, in turn.
    """

    n_key_heads: int
    n_value_heads: int
    key_dim: int
    value_dim: int
    n_taps: int
    is_tiled: bool = False
    is_fused: bool = False

    @property
    def n_parts(self) -> int:
        """Value heads that share a key head."""
        return self.n_value_heads // self.n_key_heads

    @property
    def turns(self) -> tuple[int, ...]:
        """Features of each key head's q, k, v and z."""
        values = self.n_parts * self.value_dim
        return self.key_dim, self.key_dim, values, values

    @property
    def conv_rows(self) -> int:
        """See Recurrence."""
        return self.n_taps - 1

    @property
    def conv_width(self) -> int:
        """See Recurrence."""
        return 2 * self.n_key_heads * self.key_dim + self.output_dim

    @property
    def output_dim(self) -> int:
        """See Recurrence."""
        return self.n_value_heads * self.value_dim

    @property
    def rows_nbytes(self) -> int:
        """Bytes of the rows before a convolution, in a state; then come the states of heads."""
        return floats_nbytes(self.conv_rows * self.conv_width)

    @property
    def state_nbytes(self) -> int:
        """See Recurrence."""
        return self.rows_nbytes + 4 * self.n_value_heads * self.key_dim * columns(self.value_dim)

    @property
    def b_at(self) -> int:
        """Where b begins in a row."""
        return _in_strips(self.conv_width)

    @property
    def a_at(self) -> int:
        """Where a begins in a row: behind b, or b of the first key head."""
        return self.b_at + (_in_strips(self.n_value_heads) if self.is_tiled else self.n_parts)

    @property
    def z_at(self) -> int:
        """Where z begins in a row: behind all that is kept of a token."""
        n = self.n_value_heads
        return self.b_at + (2 * _in_strips(n) if self.is_tiled else _in_strips(2 * n))

    @property
    def row_nbytes(self) -> int:
        """See Recurrence."""
        return 4 * self.z_at

    @property
    def row_dim(self) -> int:
        """Features of a whole row, with what stands between them."""
        return self.z_at + _in_strips(self.output_dim)


def _in_strips(n: int) -> int:
    return -(-n // STRIP_ROWS) * STRIP_ROWS
