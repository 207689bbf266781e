"""Tiles of vectors as a type of Numba's: imported only where something is compiled."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from halfbyte.kernels.vectors.emit import I8, V_F32, V_I32

_VECTORS = {"f32": V_F32, "i32": V_I32, "i8": ir.VectorType(I8, 64)}


class TileType(types.Type):
    """`n` vectors of one kind: see simd.Tile."""

    def __init__(self, kind: str, n: int) -> None:
        self.kind, self.n = kind, n
        super().__init__(name=f"Tile({kind},{n})")

    @property
    def vector(self) -> ir.VectorType:
        """The LLVM type of one of the vectors."""
        return _VECTORS[self.kind]


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, tile: TileType) -> None:
        super().__init__(dmm, tile, ir.ArrayType(tile.vector, tile.n))
