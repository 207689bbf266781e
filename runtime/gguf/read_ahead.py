"""Tensors in pieces, each read while its user works on the one before."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from halfbyte.gguf.tensor_table import TensorInfo
from halfbyte.lazy_dataclass import dataclass

PIECE_NBYTES = 1 << 22  # they are still in a processor's cache when they are used

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Piece:
    """A tensor's bytes from `begin` to before `end`."""

    tensor: TensorInfo
    begin: int
    end: int


_P = TypeVar("_P", bound=Piece)


def pieces(tensor: TensorInfo) -> Iterator[Piece]:
    """All of a tensor."""
    for begin in range(0, tensor.nbytes, PIECE_NBYTES):
        yield Piece(tensor, begin, min(begin + PIECE_NBYTES, tensor.nbytes))


def read_ahead(wanted: Iterable[_P]) -> Generator[tuple[_P, Bytes]]:
    """The pieces with their bytes, which are overwritten when the next one is asked for.

    Close it before the files. Where no thread is to be had, nothing is read ahead.

    Raises:
        ModelFileError: a file was cut short, or cannot be read.
    """
    buffers = [np.empty(0, np.uint8), np.empty(0, np.uint8)]

    def read(piece: _P, i: int) -> Bytes:
        n = piece.end - piece.begin
        if len(buffers[i % 2]) < n:
            buffers[i % 2] = np.empty(n, np.uint8)
        out = buffers[i % 2][:n]
        piece.tensor.file.read_into(out, piece.tensor.offset + piece.begin)
        return out

    with ThreadPoolExecutor(1, "halfbyte-reader") as reader:
        submit: Callable[..., Future[Bytes]] = reader.submit
        before: tuple[_P, Future[Bytes]] | None = None
        for i, piece in enumerate(wanted):
            try:
                reading = submit(read, piece, i)
            except RuntimeError:  # the system gives no more threads
                submit = _done
                reading = submit(read, piece, i)
            if before is not None:
                yield before[0], before[1].result()
            before = piece, reading
        if before is not None:
            yield before[0], before[1].result()


def _done(read: Callable[..., Bytes], *arguments: object) -> Future[Bytes]:
    """A future that has its result."""
    future = Future[Bytes]()
    future.set_result(read(*arguments))
    return future
