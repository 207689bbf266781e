"""Where the states of a model's recurrent layers lie in a block, and what a journal keeps of them.

A block is all that these layers know of a sequence's first positions: layer after layer, each from
an address that vectors can be loaded from. A journal is, token after token and layer after layer,
what it takes to move a block on by tokens once more.
"""

from __future__ import annotations

from halfbyte.families.config import ModelConfig
from halfbyte.lazy_dataclass import dataclass

_ALIGN = 64


@dataclass(frozen=True, slots=True)
class StateLayout:
    """Sizes in bytes.

    Attributes:
        layers: the number of each recurrent layer among them, by its number in the model.
        state_nbytes: of a layer in a block.
        row_nbytes: of a layer in a token of a journal.
    """

    layers: dict[int, int]
    state_nbytes: int
    row_nbytes: int

    @classmethod
    def of(cls, config: ModelConfig) -> StateLayout | None:
        """That of a model; None where no layer is recurrent."""
        which = [i for i in range(config.n_layers) if config.is_recurrent(i)]
        if config.recurrent is None or not which:
            return None
        sizes = (config.recurrent.state_nbytes, config.recurrent.row_nbytes)
        state, row = (-(-n // _ALIGN) * _ALIGN for n in sizes)
        return cls({layer: n for n, layer in enumerate(which)}, state, row)

    @property
    def nbytes(self) -> int:
        """Of a block."""
        return len(self.layers) * self.state_nbytes

    @property
    def token_nbytes(self) -> int:
        """Of a token in a journal."""
        return len(self.layers) * self.row_nbytes

    def words(self, layer: int) -> dict[str, int]:
        """Where a layer has its own; see record.RECURRENT."""
        n = self.layers[layer]
        return {
            "state_at": n * self.state_nbytes,
            "kept_at": n * self.row_nbytes,
            "token_nbytes": self.token_nbytes,
        }
