"""The table of a GGUF file's tensors: where each one lies, checked before any of it is believed."""

from __future__ import annotations

from dataclasses import field

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.files.file_reader import FileReader
from halfbyte.gguf.metadata import Cursor
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import BY_GGML_ID, FORMATS
from halfbyte.lazy_dataclass import dataclass

_MAX_DIMS = 4

# Types of ggml that no weights have here: name, weights per block, bytes per block.
_OTHER_TYPES = {
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A tensor's place in its file.

    Attributes:
        file: one shard of a split model, or its only file.
        shape: NumPy order: (rows, inputs) for a matrix.
        format: None for a type that this version cannot run (`inspect` shows it all the same).
        offset: from the file's beginning, bytes.
    """

    file: FileReader = field(repr=False)
    name: str
    shape: tuple[int, ...]
    format: BlockFormat | None
    type_name: str
    offset: int
    nbytes: int

    @property
    def is_matrix(self) -> bool:
        """Whether it has two dimensions, or three: matrices of as many experts. Biases are none."""
        return len(self.shape) in (2, 3) and not self.name.endswith(".bias")


_Row = tuple[str, tuple[int, ...], int, int]  # name, dims as in the file, type, offset


def read_tensors(
    file: FileReader, cursor: Cursor, n_tensors: int, alignment: int, *, strict_types: bool
) -> dict[str, TensorInfo]:
    """The tensors by name, in the file's order.

    Raises:
        ModelFileError: the table is cut short, inconsistent or points outside the file.
        UnsupportedModelError: a type that is unknown, or with `strict_types` does not run here.
    """
    rows = _read_rows(cursor, n_tensors)
    begin = cursor.at + -cursor.at % alignment
    tensors = {row[0]: _place(file, row, begin, alignment, strict_types) for row in rows}
    _check_overlaps(file.path, tensors)
    return tensors


def _read_rows(cursor: Cursor, n_tensors: int) -> list[_Row]:
    cursor.check_count(n_tensors, 8 + 4 + 8 + 4 + 8, "tensor_count")
    rows: list[_Row] = []
    names: set[str] = set()
    for i in range(n_tensors):
        name = cursor.string(f"tensor {i}: name")
        if name in names:
            raise ModelFileError(cursor.path, "tensors", expected="unique names", got=name)
        names.add(name)
        n_dims = cursor.u32(f"{name}: n_dims")
        if not 1 <= n_dims <= _MAX_DIMS:
            raise ModelFileError(cursor.path, f"{name}: n_dims", expected="1 to 4", got=n_dims)
        dims = tuple(cursor.u64(f"{name}: dims[{k}]") for k in range(n_dims))
        if min(dims) < 1:
            raise ModelFileError(cursor.path, f"{name}: dims", expected="at least 1", got=dims)
        rows.append((name, dims, cursor.u32(f"{name}: type"), cursor.u64(f"{name}: offset")))
    return rows


def _place(file: FileReader, row: _Row, begin: int, alignment: int, strict: bool) -> TensorInfo:
    path = file.path
    name, dims, type_id, offset = row
    fmt = BY_GGML_ID.get(type_id)
    known = (fmt.name, fmt.block_size, fmt.block_nbytes) if fmt else _OTHER_TYPES.get(type_id)
    if known is None or (fmt is None and strict):
        got = known[0] if known else f"unknown type {type_id}"
        raise UnsupportedModelError(path, f"{name}: type", expected=", ".join(FORMATS), got=got)
    type_name, block, block_nbytes = known
    if dims[0] % block:
        raise ModelFileError(
            path, f"{name}: dims", expected=f"rows that are multiples of {block}", got=dims
        )
    nbytes = dims[0] // block * block_nbytes
    for n in dims[1:]:
        nbytes *= n
    if offset % alignment:
        raise ModelFileError(
            path, f"{name}: offset", expected=f"a multiple of {alignment}", got=offset
        )
    if begin + offset + nbytes > file.nbytes:
        raise ModelFileError(
            path,
            f"{name}: data",
            expected=f"bytes {begin + offset} to {begin + offset + nbytes}",
            got=f"a file of {file.nbytes} bytes",
            hint="the file may be cut short: fetch or convert it again",
        )
    return TensorInfo(file, name, dims[::-1], fmt, type_name, begin + offset, nbytes)


def _check_overlaps(path: str, tensors: dict[str, TensorInfo]) -> None:
    end, before = 0, ""
    for info in sorted(tensors.values(), key=lambda t: t.offset):
        if info.offset < end:
            raise ModelFileError(
                path, f"{info.name}: offset", expected=f"data behind {before}'s", got="an overlap"
            )
        end, before = info.offset + info.nbytes, info.name
