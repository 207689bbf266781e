"""What a conversion will write, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

from halfbyte.convert.recipe import Recipe
from halfbyte.convert.sources import Source, largest_nbytes
from halfbyte.convert.writer import Planned

_BESIDE = 250_000_000  # bytes that the interpreter, libraries and chunks take


@dataclass(frozen=True, slots=True)
class Plan:
    """The tensors of a file to be.

    Attributes:
        type: the recipe's name.
        tensors: name, shape and format, in the file's order.
        fallbacks: matrices whose rows do not fit the format that the recipe has for them.
        peak_nbytes: memory that the conversion takes at most, measuring and calibrating left out.
    """

    type: str
    tensors: tuple[Planned, ...]
    fallbacks: tuple[str, ...]
    peak_nbytes: int

    @property
    def n_weights(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.n_weights for tensor in self.tensors)

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Of all tensors together."""
        return 8 * self.nbytes / self.n_weights

    def formats(self) -> dict[str, tuple[int, int, int]]:
        """Format -> (tensors, weights, bytes), the largest first."""
        found: dict[str, tuple[int, int, int]] = {}
        for tensor in self.tensors:
            n, weights, nbytes = found.get(tensor.format.name, (0, 0, 0))
            found[tensor.format.name] = (n + 1, weights + tensor.n_weights, nbytes + tensor.nbytes)
        return dict(sorted(found.items(), key=lambda item: -item[1][2]))


def make_plan(source: Source, recipe: Recipe, *, pure: bool) -> Plan:
    """The tensors of `source` with the formats that `recipe` gives them."""
    planned, fallbacks = [], []
    for tensor in source.tensors:
        chosen = recipe.choose(tensor.name, tensor.shape, source.model, pure=pure)
        planned.append(Planned(tensor.name, tensor.shape, chosen))
        if recipe.is_fallback(tensor.name, tensor.shape, source.model, pure=pure):
            fallbacks.append(tensor.name)
    peak = 2 * largest_nbytes(source.tensors) + _BESIDE
    return Plan(recipe.name, tuple(planned), tuple(fallbacks), peak)
