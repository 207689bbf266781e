"""The bytes of a file's tensors, in whatever order the way of making them brings.

Plain: each tensor for itself, in pieces of rows; while one is written, the threads make the next,
and the next tensor is read. With an importance matrix, what an error costs depends on the input
that it meets. Calibrated: see gptq.py; vectors and what has no calibration are plain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte import system
from halfbyte.converting.calibration.gptq import calibrate_model
from halfbyte.converting.calibration.importance import Importance
from halfbyte.converting.plan import Plan
from halfbyte.converting.recipe import NO_MATRICES
from halfbyte.converting.sources.source import Source
from halfbyte.converting.sources.source_tensors import Tensor
from halfbyte.converting.writer import Planned
from halfbyte.errors import ConversionError, RequestError
from halfbyte.families.next_layer import is_of_next
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.quantizers.quantize import dequantize, quantize
from halfbyte.lazy_dataclass import dataclass
from halfbyte.progress import Progress, silent
from halfbyte.quality.float_model import Ids
from halfbyte.quality.layer_source import F32

Bytes = NDArray[np.uint8]
# A tensor's bytes may come in pieces, one after the other.
Encoded = Iterator[tuple[str, Bytes]]

_CALIBRATED = ("blk.", "token_embd.", "output.")
_PIECE_WEIGHTS = 1 << 23  # that are written together
_SHARE_WEIGHTS = 1 << 18  # that a thread widens and quantizes together: they stay in its cache


def plain(
    source: Source, plan: Plan, threads: int, importance: Importance | None = None
) -> Encoded:
    """(name, bytes) of every tensor in pieces, in the source's order.

    Raises:
        ConversionError: a weight is NaN, infinite or too large for its type.
    """
    means = {} if importance is None else importance.means
    with ThreadPoolExecutor(threads) as pool:
        for piece in _begun_ahead(_begin_all(source, plan, pool, means)):
            yield piece.tensor.name, piece.finish()
            if piece.is_last:
                piece.tensor.release()


def calibrated(
    source: Source, plan: Plan, threads: int, ids: Ids, progress: Progress = silent
) -> Encoded:
    """(name, bytes) of every tensor: vectors first, then the layers' matrices in order.

    Args:
        source: the model.
        plan: the types.
        threads: threads that quantize.
        ids: windows of tokens to calibrate on, int64 (B, T).
        progress: called with ("calibrate", layers done, layers in all).

    Raises:
        ConversionError: as `plain`.
    """
    for tensor, planned in zip(source.tensors, plan.tensors, strict=True):
        if len(tensor.shape) == 1:
            yield tensor.name, _vector(tensor, planned)
        elif tensor.name.endswith(NO_MATRICES):
            yield tensor.name, tensor.rows(0, tensor.shape[0]).view(np.uint8)
        elif not tensor.name.startswith(_CALIBRATED):  # what is looked up, or stays as it is
            yield from _uncalibrated(tensor, planned, threads)
    formats = {p.name: p.format for p in plan.tensors if p.name.startswith(_CALIBRATED)
               and len(p.shape) > 1 and not p.name.endswith(NO_MATRICES)}  # fmt: skip
    pool = system.start_pool(threads)
    try:
        with _finite(source.path, "weights"):
            layers = _Checked(source)
            yield from calibrate_model(layers, ids, formats, pool, progress=progress)
    finally:
        pool.close()
    yield from _beside(source, plan, threads)


def _beside(source: Source, plan: Plan, threads: int) -> Encoded:
    """The matrices of layers that guess further ahead, which no text goes through."""
    with ThreadPoolExecutor(threads) as pool:
        for tensor, planned in zip(source.tensors, plan.tensors, strict=True):
            is_matrix = len(tensor.shape) > 1 and not tensor.name.endswith(".bias")
            if is_matrix and is_of_next(tensor.name, source.config.n_layers):
                for piece in _begin(tensor, planned, pool, None):
                    yield tensor.name, piece.finish()
                tensor.release()


def _uncalibrated(tensor: Tensor, planned: Planned, threads: int) -> Encoded:
    with ThreadPoolExecutor(threads) as pool:
        for piece in _begun_ahead(_begin(tensor, planned, pool, None)):
            yield tensor.name, piece.finish()
    tensor.release()


class _Checked:
    """A source's floats, none of them NaN or infinite."""

    def __init__(self, source: Source) -> None:
        self._path, self._layers = source.path, source.layers()
        self.config = self._layers.config

    def __contains__(self, name: str) -> bool:
        return name in self._layers

    def tensor(self, name: str) -> F32:
        """See LayerSource."""
        return self._finite(name, self._layers.tensor(name))

    def rows(self, name: str, ids: Ids) -> F32:
        """See LayerSource."""
        return self._finite(name, self._layers.rows(name, ids))

    def _finite(self, name: str, values: F32) -> F32:
        if not np.isfinite(values).all():
            raise ConversionError(
                self._path, name, expected="finite weights", got="NaN or infinite weights"
            )
        return values


def check_importance(source: Source, importance: Importance) -> None:
    """RequestError unless a matrix's importance has a number for each of its inputs."""
    shapes: Mapping[str, tuple[int, ...]] = {t.name: t.shape for t in source.tensors}
    known = [name for name in importance.means if name in shapes]
    for name in known:
        have, shape = importance.means[name].size, shapes[name]
        want = math.prod(shape[:-2]) * shape[-1]
        if have != want:
            raise RequestError("imatrix", expected=f"{want} numbers for {name}", got=have)
    if not known:
        raise RequestError(
            "imatrix", expected="numbers for this model's matrices", got="none of their names"
        )


@dataclass(frozen=True, slots=True)
class _Piece:
    """Some rows of a tensor that threads are at work on; `finish` waits for their bytes."""

    tensor: Tensor
    finish: Callable[[], Bytes]
    is_last: bool = True


def _begun_ahead(pieces: Iterator[_Piece]) -> Iterator[_Piece]:
    """The same pieces, each begun before the one before it is handed out and written."""
    previous = None
    for piece in pieces:
        if previous is not None:
            yield previous
        previous = piece
    if previous is not None:
        yield previous


def _begin_all(
    source: Source, plan: Plan, pool: ThreadPoolExecutor, means: Mapping[str, F32]
) -> Iterator[_Piece]:
    """Begin every tensor's pieces, in the source's order."""
    tensors = source.tensors
    for i, (tensor, planned) in enumerate(zip(tensors, plan.tensors, strict=True)):
        for following in tensors[i + (i > 0) : i + 2]:
            following.prefetch()
        yield from _begin(tensor, planned, pool, means.get(tensor.name))


def _begin(
    tensor: Tensor, planned: Planned, pool: ThreadPoolExecutor, importance: F32 | None
) -> Iterator[_Piece]:
    """Begin a tensor's pieces, some rows each."""
    fmt = planned.format
    if len(tensor.shape) == 1:
        yield _Piece(tensor, lambda: _vector(tensor, planned))
        return
    n_rows, n = math.prod(tensor.shape[:-1]), tensor.shape[-1]
    experts = [None] if importance is None else list(importance.reshape(-1, n))
    step, size = max(1, _PIECE_WEIGHTS // n), n_rows // len(experts)
    for i, own in enumerate(experts):
        for begin in range(i * size, (i + 1) * size, step):
            rows = range(begin, min(begin + step, (i + 1) * size))
            finish = _begin_rows(tensor, fmt, rows, pool, own)
            yield _Piece(tensor, finish, rows.stop == n_rows)


def _begin_rows(
    tensor: Tensor, fmt: BlockFormat, rows: range, pool: ThreadPoolExecutor, importance: F32 | None
) -> Callable[[], Bytes]:
    n = tensor.shape[-1]
    share = max(1, _SHARE_WEIGHTS // n)
    out = np.empty((len(rows), fmt.row_nbytes(n)), np.uint8)

    def convert(at: int) -> None:
        here = rows[at : at + share]
        if tensor.format is fmt:
            out[at : at + share] = _checked(tensor.stored(here.start, here.stop), fmt, n)
        else:
            floats = tensor.rows(here.start, here.stop)
            out[at : at + share] = quantize(floats, fmt, importance=importance)

    converted = pool.map(convert, range(0, len(rows), share))

    def finish() -> Bytes:
        with _finite(*tensor.where):
            for _ in converted:
                pass
        return out

    return finish


def _vector(tensor: Tensor, planned: Planned) -> Bytes:
    with _finite(*tensor.where):
        return quantize(tensor.rows(0, tensor.shape[0])[None], planned.format)[0]


def _checked(stored: Bytes, fmt: BlockFormat, n: int) -> Bytes:
    """Bytes that are taken as they are, if their numbers are finite; ValueError if not."""
    if not np.isfinite(dequantize(stored, fmt, n)).all():
        raise ValueError("NaN or infinite weights")
    return stored


@contextmanager
def _finite(path: str | Path, name: str) -> Iterator[None]:
    """A quantizer's complaint as one about the source."""
    try:
        yield
    except ValueError as error:
        raise ConversionError(path, name, expected="finite weights", got=str(error)) from error
