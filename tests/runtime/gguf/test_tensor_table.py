"""The table of a file's tensors, made to lie, and the types in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import pytest

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.gguf import tensor_table
from halfbyte.gguf.file import GGUFFile


@pytest.mark.parametrize(
    ("tensors", "field"),
    [
        ((("t", (32, 1), 0, 0), ("t", (32, 1), 0, 128)), "tensors"),
        ((("t", (), 0, 0),), "n_dims"),
        ((("t", (1, 1, 1, 1, 1), 0, 0),), "n_dims"),
        ((("t", (32, 0), 0, 0),), "dims"),
        ((("t", (2**32, 2**32), 0, 0),), "data"),
        ((("t", (2**63, 2), 0, 0),), "data"),
        ((("t", (33,), 2, 0),), "dims"),
        ((("t", (32,), 0, 16),), "offset"),
        ((("t", (32,), 0, 2**63),), "data"),
        ((("t", (32,), 0, 0), ("u", (32,), 0, 64)), "offset"),
    ],
)
def test_tensor_tables_that_lie(
    write_gguf: Callable[..., Path], tensors: tuple[object, ...], field: str
) -> None:
    with pytest.raises(ModelFileError) as caught:
        GGUFFile.open(write_gguf(tensors=tensors))
    assert field in caught.value.field


def test_types_that_do_not_run_are_listed_on_request(write_gguf: Callable[..., Path]) -> None:
    path = write_gguf(tensors=(("t", (256, 4), 25, 0),))
    with pytest.raises(UnsupportedModelError, match="I16"):
        GGUFFile.open(path)
    with GGUFFile.open(path, strict_types=False) as file:
        info = file.tensors["t"]
        assert (info.format, info.type_name, info.nbytes) == (None, "I16", 4 * 512)


def test_unknown_types_are_refused(write_gguf: Callable[..., Path]) -> None:
    with pytest.raises(UnsupportedModelError, match="unknown type 99"):
        GGUFFile.open(write_gguf(tensors=(("t", (32,), 99, 0),)), strict_types=False)


def test_other_types_have_the_sizes_of_the_package() -> None:
    for type_id, (name, block, nbytes) in tensor_table._OTHER_TYPES.items():
        theirs = gguf.GGMLQuantizationType(type_id)
        assert (name, (block, nbytes)) == (theirs.name, gguf.GGML_QUANT_SIZES[theirs])
