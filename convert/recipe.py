"""Which type each tensor gets."""

from __future__ import annotations

from halfbyte.errors import RequestError
from halfbyte.kernels.formats import F16, F32, FORMATS, BlockFormat

# Type name -> (format of the matrices, general.file_type: llama.cpp's enum llama_ftype).
TYPES: dict[str, tuple[BlockFormat, int]] = {
    "f32": (FORMATS["F32"], 0),
    "f16": (FORMATS["F16"], 1),
    "bf16": (FORMATS["BF16"], 32),
    "q4_0": (FORMATS["Q4_0"], 2),
    "q4_1": (FORMATS["Q4_1"], 3),
    "q8_0": (FORMATS["Q8_0"], 7),
}


def find_type(name: str) -> tuple[BlockFormat, int]:
    """The matrices' format and the file type of a type name; RequestError if unknown."""
    found = TYPES.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise RequestError("type", expected=f"one of {', '.join(TYPES)}", got=repr(name))
    return found


def choose_format(shape: tuple[int, ...], wanted: BlockFormat) -> BlockFormat:
    """A tensor's format: vectors stay F32; rows that are no multiple of the block become F16."""
    if len(shape) == 1:
        return F32
    return wanted if shape[-1] % wanted.block_size == 0 else F16
