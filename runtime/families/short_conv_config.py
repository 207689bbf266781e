"""The shape of short convolutions: LFM2's recurrent layers (short_conv.py)."""

from __future__ import annotations

from halfbyte.families.states import floats_nbytes
from halfbyte.lazy_dataclass import dataclass

TAPS_KEY = "shortconv.l_cache"  # behind "<architecture>."


@dataclass(frozen=True, slots=True)
class ShortConv:
    """See states.Recurrence.

    Attributes:
        dim: features of a layer, which are convolved each for itself.
        n_taps: positions that a convolution takes, its own included.
        bias: whether it and the matrices around it have biases.
    """

    dim: int
    n_taps: int
    bias: bool = False

    @property
    def conv_rows(self) -> int:
        """See Recurrence."""
        return self.n_taps - 1

    @property
    def conv_width(self) -> int:
        """See Recurrence."""
        return self.dim

    @property
    def output_dim(self) -> int:
        """See Recurrence."""
        return self.dim

    @property
    def state_nbytes(self) -> int:
        """See Recurrence."""
        return self.conv_rows * self.row_nbytes

    @property
    def row_nbytes(self) -> int:
        """See Recurrence: B x of a token."""
        return floats_nbytes(self.dim)
