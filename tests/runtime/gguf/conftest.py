"""Fixtures of the GGUF reader's tests."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

Rows = tuple[tuple[str, tuple[int, ...], int, int], ...]


@pytest.fixture
def write_gguf(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file by hand: any version, alignment (type and value, raw) and rows of tensors."""

    def write(*, version: int = 3, alignment: bytes = b"", tensors: Rows = ()) -> Path:
        out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), int(bool(alignment)))
        if alignment:
            key = b"general.alignment"
            out += struct.pack("<Q", len(key)) + key + alignment
        for name, dims, type_id, offset in tensors:
            out += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", len(dims))
            out += struct.pack(f"<{len(dims)}QIQ", *dims, type_id, offset)
        path = tmp_path / "made.gguf"
        path.write_bytes(out + bytes(4096))
        return path

    return write
