"""The shape of Mamba-2's layers (mamba2.py)."""

from __future__ import annotations

import math

from halfbyte.families.states import MAX_STATE_NBYTES, floats_nbytes
from halfbyte.lazy_dataclass import dataclass

NO_LIMITS = (0.0, math.inf)


@dataclass(frozen=True, slots=True)
class Mamba2:
    """See states.Recurrence.

    Attributes:
        n_heads, head_dim: of what a layer gives a token.
        n_state: features of B and of C.
        n_groups: how many B and C there are, each shared by as many heads in turn; and how many
            norms what is given goes through.
        n_taps: positions that the convolution takes, its own included.
        dt_limits: between which steps in time are kept.
    """

    n_heads: int
    head_dim: int
    n_state: int
    n_groups: int
    n_taps: int
    dt_limits: tuple[float, float] = NO_LIMITS

    @property
    def output_dim(self) -> int:
        """See Recurrence."""
        return self.n_heads * self.head_dim

    @property
    def conv_rows(self) -> int:
        """See Recurrence."""
        return self.n_taps - 1

    @property
    def conv_width(self) -> int:
        """See Recurrence: x, B and C."""
        return self.output_dim + 2 * self.n_groups * self.n_state

    @property
    def projected_dim(self) -> int:
        """Features of [z, x, B, C, dt]."""
        return self.output_dim + self.conv_width + self.n_heads

    @property
    def state_nbytes(self) -> int:
        """See Recurrence."""
        heads = self.n_heads * self.n_state * floats_nbytes(self.head_dim)
        return self.conv_rows * floats_nbytes(self.conv_width) + heads

    @property
    def row_nbytes(self) -> int:
        """See Recurrence: the convolution's inputs and dt, which is read in whole vectors."""
        return floats_nbytes(self.conv_width + floats_nbytes(self.n_heads) // 4)


def wanted_sizes(m: Mamba2) -> tuple[str, str, object] | None:
    """What of some sizes cannot be: the field, what it should be, and what it is."""
    if m.n_heads % m.n_groups:
        return "n_groups", f"a divisor of the {m.n_heads} heads", m.n_groups
    if m.state_nbytes > MAX_STATE_NBYTES:
        return "n_state", f"states of up to {MAX_STATE_NBYTES} bytes a layer", m.state_nbytes
    return None
