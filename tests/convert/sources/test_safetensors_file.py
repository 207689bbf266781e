"""The safetensors reader on files of the safetensors package and on headers that lie."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from halfbyte.converting.sources.safetensors_file import SafetensorsFile
from halfbyte.errors import ConversionError


def write(path: Path, header: Any, data: bytes = b"", *, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_tensors_are_read_as_the_package_wrote_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        "a": rng.standard_normal((7, 5)).astype(np.float32),
        "b": rng.standard_normal(9).astype(np.float16),
        "empty": np.zeros((0, 4), np.float32),
    }
    save_file(tensors, tmp_path / "t.safetensors", metadata={"format": "pt"})
    file = SafetensorsFile(tmp_path / "t.safetensors")
    assert file.tensors.keys() == tensors.keys()
    for name, value in tensors.items():
        assert (file.tensors[name].rows(slice(None)) == value.astype(np.float32)).all()
    assert (file.tensors["a"].rows(np.array([6, 0, 6])) == tensors["a"][[6, 0, 6]]).all()
    assert (file.tensors["a"].rows(slice(2, 4)) == tensors["a"][2:4]).all()


def test_padded_headers_and_zero_sizes_are_accepted(tmp_path: Path) -> None:
    header = {"z": entry(0, 0, [0, 3]), "a": entry(0, 8, [2])}
    text = json.dumps(header).encode() + b" " * 17
    file = SafetensorsFile(write(tmp_path / "t", text, bytes(8)))
    assert (file.tensors["a"].rows(slice(None)) == 0).all()


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": entry(0, 8, [2])}, bytes(7)),
        ({"a": entry(0, 8, [2])}, bytes(9)),
        ({"a": entry(0, 8, [2]), "b": entry(12, 16, [1])}, bytes(16)),
        ({"a": entry(0, 8, [2]), "b": entry(4, 12, [2])}, bytes(12)),
        ({"a": entry(0, 8, [2]), "b": entry(0, 8, [2])}, bytes(8)),
        ({"a": entry(8, 0, [2])}, bytes(8)),
        ({"a": entry(0, 8, [3])}, bytes(8)),
        ({"a": entry(0, 2**64 - 1, [2**62])}, bytes(8)),
        ({"a": entry(0, 8, [-2])}, bytes(8)),
        ({"a": entry(-8, 0, [2])}, bytes(8)),
        ({"a": entry(0, 8, [True, 2])}, bytes(8)),
        ({"a": entry(0, 8, [2.0])}, bytes(8)),
        ({"a": entry(0, 8, [2], "I64")}, bytes(8)),
        ({"a": entry(0, 8, [2], "")}, bytes(8)),
        ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8)),
        ({"a": [1, 2]}, bytes(8)),
        ([1, 2], b""),
        (b"{", b""),
        (b"\xff\xfe", b""),
        (b'{"a":1,"a":2}', b""),
        (b"[" * 100_000, b""),
    ],
)
def test_headers_that_lie(tmp_path: Path, header: Any, data: bytes) -> None:
    with pytest.raises(ConversionError) as caught:
        SafetensorsFile(write(tmp_path / "t", header, data))
    assert caught.value.path == str(tmp_path / "t")


@pytest.mark.parametrize("length", [3, 100, 2**31, 2**63, 2**64 - 1])
def test_header_lengths_that_lie(tmp_path: Path, length: int) -> None:
    with pytest.raises(ConversionError):
        SafetensorsFile(write(tmp_path / "t", {"a": entry(0, 8, [2])}, bytes(8), length=length))


def test_missing_empty_and_short_files(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(b"1234")
    for name in ("absent", "empty", "short"):
        with pytest.raises(ConversionError):
            SafetensorsFile(tmp_path / name)


def test_a_download_that_ended_early_is_called_so(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": np.ones((30, 4), np.float32)}, path)
    whole = path.read_bytes()
    for n in (len(whole) - 1, len(whole) - 480, 40):
        path.write_bytes(whole[:n])
        with pytest.raises(ConversionError, match="cut short") as caught:
            SafetensorsFile(path)
        assert "got a safetensors file" not in str(caught.value)


@settings(max_examples=300)
@given(st.data())
def test_changed_bytes_never_do_worse_than_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.safetensors"
    save_file({"a": np.ones((3, 4), np.float32), "b": np.ones(5, np.float16)}, path)
    changed = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 23))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(0, len(changed) - 1)) :]
    path.write_bytes(bytes(changed))
    try:
        for tensor in SafetensorsFile(path).tensors.values():
            tensor.rows(slice(None))
    except ConversionError as error:
        assert error.path == str(path)
