"""The header of one GGUF file, made to lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.gguf.shard import Shard


@pytest.mark.parametrize("version", [0, 1, 4, 2**24 * 3])
def test_other_versions_and_byte_orders(write_gguf: Callable[..., Path], version: int) -> None:
    with pytest.raises(UnsupportedModelError, match="version"):
        Shard.open(str(write_gguf(version=version)), strict_types=True)


@pytest.mark.parametrize(
    "value", [0, 3, 2**17, 2**31], ids=["zero", "no power", "too large", "huge"]
)
def test_alignments_that_cannot_be(write_gguf: Callable[..., Path], value: int) -> None:
    path = write_gguf(alignment=struct.pack("<II", 4, value))
    with pytest.raises(ModelFileError, match=r"general\.alignment"):
        Shard.open(str(path), strict_types=True)


def test_an_alignment_of_another_type(write_gguf: Callable[..., Path]) -> None:
    path = write_gguf(alignment=struct.pack("<If", 6, 32.0))
    with pytest.raises(ModelFileError, match=r"general\.alignment"):
        Shard.open(str(path), strict_types=True)
