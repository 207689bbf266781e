"""Stages and matrices as words: what kernels/stages/record.py has names for."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.arithmetic import product_kernels, token_numbers
from halfbyte.engine.weights import Experts, Matrix
from halfbyte.kernels.layouts.panels import PanelFormat, n_panels
from halfbyte.kernels.products.matmul import WAYS
from halfbyte.kernels.stages import record

Words = NDArray[np.int64]

_N_WORDS = record.STAGE_NBYTES // 8


def stage_words(table: Any, op: int, **values: int) -> Words:
    """A stage's words by name; what is not named is 0."""
    out = np.zeros(_N_WORDS, np.int64)
    out[0] = op
    for name, value in values.items():
        out[getattr(table, name) // 8] = value
    return out


def float_word(x: float) -> int:
    """A float as a word has it."""
    return int(np.float32(x).view(np.int32))


def n_strips(matrix: Matrix) -> int:
    """Into how many strips a matrix is dealt."""
    return n_panels(matrix.n_rows) // 2


def matrix_words(matrix: Matrix) -> tuple[int, ...]:
    """A matrix as products read it (record.MATRIX)."""
    fmt, (addresses, numbers) = matrix.format, _kernel_words(matrix.format, matrix.arithmetic)
    n = n_panels(matrix.of_rows or matrix.n_rows)
    return (*addresses, matrix.address, n, fmt.n_units(matrix.n_inputs), matrix.record_nbytes,
            *numbers)  # fmt: skip


def experts_words(experts: Experts) -> Words:
    """The matrices of all experts, one after the other: (n, words)."""
    words = np.tile(np.array(matrix_words(experts.first), np.int64), (experts.n, 1))
    words[:, record.MATRIX.w // 8] += experts.first.nbytes * np.arange(experts.n)
    return words


@cache
def _kernel_words(fmt: PanelFormat, arithmetic: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Addresses of a format's kernels, 0 where it lacks one, and how many tokens each takes."""
    have = product_kernels(fmt, arithmetic)
    addresses = (have[way].address if way in have else 0 for way in WAYS)
    return tuple(addresses), token_numbers(fmt, arithmetic)
