"""One GGUF file: a whole model, or a part of a split one.

A GGUF file (versions 2 and 3, little-endian) is

    "GGUF", version u32, n_tensors u64, n_metadata u64
    metadata     n x { key string, type u32, value }
    tensor table n x { name string, n_dims u32, dims u64[n_dims], type u32, offset u64 }
    padding to general.alignment, then the tensors' data at their offsets

Strings are a u64 length and bytes. Every length is compared with the bytes that are left before
anything is read or allocated, so time and memory are bounded by the file's size.
Source: ggml's docs/gguf.md.
"""

from __future__ import annotations

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.files.file_kinds import refused
from halfbyte.files.file_reader import FileReader
from halfbyte.gguf.metadata import Cursor, Metadata, read_metadata
from halfbyte.gguf.tensor_table import TensorInfo, read_tensors
from halfbyte.lazy_dataclass import dataclass

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_ALIGNMENT = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Shard:
    """An open file whose header was read and checked."""

    file: FileReader
    version: int
    metadata: Metadata
    tensors: dict[str, TensorInfo]

    @classmethod
    def open(cls, path: str, *, strict_types: bool) -> Shard:
        """Open and check a file; see GGUFFile.open."""
        file = FileReader(path, what="a GGUF file")
        try:
            cursor = Cursor(file)
            version = _read_version(cursor)
            n_tensors, n_metadata = cursor.u64("tensor_count"), cursor.u64("metadata_kv_count")
            metadata = read_metadata(cursor, n_metadata)
            alignment = _alignment(metadata)
            tensors = read_tensors(file, cursor, n_tensors, alignment, strict_types=strict_types)
        except BaseException:
            file.close()
            raise
        return cls(file, version, metadata, tensors)

    def close(self) -> None:
        """Close the file; its tensors can't be read any more."""
        self.file.close()


def _read_version(cursor: Cursor) -> int:
    if not cursor.nbytes:
        raise ModelFileError(cursor.path, expected="a GGUF file", got="an empty file")
    magic = cursor.take(4, "magic")
    if magic != _MAGIC:
        raise refused(ModelFileError, cursor.path, "magic", expected="GGUF", got=repr(magic))
    version = cursor.u32("version")
    if version & 0xFFFF == 0 and version:
        raise UnsupportedModelError(
            cursor.path, "version", expected="a little-endian file", got="a big-endian one"
        )
    if version not in _VERSIONS:
        raise UnsupportedModelError(cursor.path, "version", expected="2 or 3", got=version)
    return version


def _alignment(metadata: Metadata) -> int:
    key = "general.alignment"
    if key not in metadata:
        return 32
    value = metadata.get_int(key, minimum=1, maximum=_MAX_ALIGNMENT)
    if value & (value - 1):
        raise ModelFileError(metadata.path, key, expected="a power of two", got=value)
    return value
