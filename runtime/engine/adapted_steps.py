"""Steps in which some rows go through adapters: the program for them, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from halfbyte.engine.adapter_weights import Applied
from halfbyte.engine.buffers import Buffers
from halfbyte.engine.memory import zeros
from halfbyte.engine.program import Program
from halfbyte.engine.weights import ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.kernels.layouts.kv_pages import KVLayout
from halfbyte.kernels.stages.record import APPLIED


class AdaptedSpan(Protocol):
    """What is read of a span (engine.Span)."""

    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def n_out(self) -> int: ...
    @property
    def is_hidden(self) -> bool: ...
    @property
    def adapters(self) -> Sequence[Applied]: ...


class AdaptedSteps:
    """One engine's; the program is made when it is first needed.

    Args:
        plain: the program of steps without adapters; what Program.of_model was given for it.
    """

    def __init__(
        self, plain: Program, c: ModelConfig, w: ModelWeights, layout: KVLayout, b: Buffers
    ) -> None:
        self._plain, self._model = plain, (c, w, layout, b)
        self._program: Program | None = None
        self._applied = np.zeros((0, len(APPLIED)), np.int64)
        self._inner = np.zeros(0, np.float32)

    @property
    def program(self) -> Program:
        """The model's stages, and those of adapters."""
        if self._program is None:
            self._program = Program.of_model(*self._model, adapts=True)
            self._plain.keep(self._program)  # late workers may look at it too
        return self._program

    def words(self, spans: Sequence[AdaptedSpan]) -> dict[str, int]:
        """What the step has to know; the memory is good until the next call.

        Raises:
            EngineError: there is no memory for the inner products.
        """
        found: list[tuple[int, int, int, int, Applied]] = []
        row = out_row = 0
        for span in spans:
            n, n_out = len(span.tokens), 0 if span.is_hidden else span.n_out  # rows of logits
            found += [(row, n, out_row, n_out, applied) for applied in span.adapters]
            row, out_row = row + n, out_row + n_out
        sizes = [n * applied.weights.n_inner for _, n, _, _, applied in found]
        if self._inner.size < sum(sizes):
            self._inner = zeros("adapters", 2 * sum(sizes), np.float32)
        if len(self._applied) < len(found):
            self._applied = np.zeros((2 * len(found), len(APPLIED)), np.int64)
        at = int(self._inner.ctypes.data)
        for i, ((row, n, out_row, n_out, applied), size) in enumerate(
            zip(found, sizes, strict=True)
        ):
            scale = int(np.float32(applied.scale).view(np.int32))
            stride = 4 * applied.weights.n_inner
            self._applied[i] = (
                row, n, out_row, n_out, applied.weights.table, scale, at, stride
            )  # fmt: skip
            at += 4 * size
        return {
            "applied": int(self._applied.ctypes.data), "n_applied": len(found),
            "n_adapted": sum(one[1] for one in found),
            "n_adapted_out": sum(one[3] for one in found),
        }  # fmt: skip
