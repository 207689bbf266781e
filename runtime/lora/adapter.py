"""An adapter in memory: W x becomes W x + scale B (A x), for some of a model's matrices."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from halfbyte.lazy_dataclass import dataclass

F32 = NDArray[np.float32]
Kind = Literal["F32", "F16", "BF16"]


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """What is added to one matrix.

    Attributes:
        a: float32 (rank, inputs).
        b: float32 (rows, rank), the rows in the order of the model's GGUF file.
        scale: of their product: alpha / rank, or what else its maker says.
    """

    a: F32
    b: F32
    scale: float

    @property
    def rank(self) -> int:
        """Numbers between the two."""
        return len(self.a)

    def delta(self, begin: int, end: int) -> F32:
        """Some rows of what is added to the matrix, at scale 1: float32 (end - begin, inputs)."""
        return (self.b[begin:end] @ self.a) * np.float32(self.scale)


@dataclass(frozen=True, eq=False)
class Adapter:
    """All of an adapter, checked against its model.

    Attributes:
        path: where it was read.
        kind: the type that holds its numbers unrounded.
        factors: by the GGUF name of the matrix.
    """

    path: Path
    kind: Kind
    factors: Mapping[str, Factors] = field(repr=False)

    @property
    def rank(self) -> int:
        """The largest of its matrices' ranks."""
        return max(factors.rank for factors in self.factors.values())

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits of what it computes, in whichever form it was stored."""
        digest = hashlib.blake2b(digest_size=16)
        for name in sorted(self.factors):
            one = self.factors[name]
            digest.update(f"{name}\0{one.a.shape}{one.b.shape}{one.scale!r}\0".encode())
            digest.update(np.ascontiguousarray(one.a).data)
            digest.update(np.ascontiguousarray(one.b).data)
        return digest.hexdigest()
