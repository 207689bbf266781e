"""A model's GGUF file, or its files: metadata and tensors, all checked before use.

Bytes are read when they are asked for and never mapped, so a file that is cut short meanwhile is an
error, and no page of it stays in the process.
"""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from halfbyte.gguf.metadata import Metadata
from halfbyte.gguf.shard import Shard
from halfbyte.gguf.split import open_shards
from halfbyte.gguf.tensor_table import TensorInfo
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class GGUFFile:
    """An open model. Use `open`; a context manager.

    Attributes:
        path: as it was named, of a split model any of its files.
        version: of the format.
        metadata: the first file's.
        tensors: of all files, in their order.
        nbytes: of all files together.
    """

    path: str
    version: int
    metadata: Metadata
    tensors: dict[str, TensorInfo]
    nbytes: int
    _shards: tuple[Shard, ...]

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, strict_types: bool = True) -> GGUFFile:
        """Open and check a file, and those that belong to it.

        Args:
            path: the file, or any file of a split model.
            strict_types: refuse tensor types that do not run; else list them without a format.

        Raises:
            ModelFileError: missing, unreadable, truncated, inconsistent or not GGUF; a file of a
                split model is missing.
            UnsupportedModelError: a version, byte order or tensor type that does not run here.
        """
        name = os.fspath(path)
        shards = open_shards(name, strict_types=strict_types)
        tensors = {name: info for shard in shards for name, info in shard.tensors.items()}
        nbytes = sum(shard.file.nbytes for shard in shards)
        return cls(name, shards[0].version, shards[0].metadata, tensors, nbytes, tuple(shards))

    @property
    def paths(self) -> list[str]:
        """All its files."""
        return [shard.file.path for shard in self._shards]

    def data(self, name: str, begin: int = 0, end: int | None = None) -> NDArray[np.uint8]:
        """Some of a tensor's bytes, all by default: uint8 (end - begin,), read now.

        Raises:
            ModelFileError: the file was cut short since, or cannot be read.
        """
        info = self.tensors[name]
        return info.file.read(
            info.offset + begin, info.offset + (info.nbytes if end is None else end)
        )

    def prefetch(self, name: str) -> None:
        """Have a tensor read from the disk in the background."""
        info = self.tensors[name]
        info.file.prefetch(info.offset, info.offset + info.nbytes)

    def close(self) -> None:
        """Close it; tensors can't be read any more."""
        for shard in self._shards:
            shard.close()

    def __enter__(self) -> GGUFFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
