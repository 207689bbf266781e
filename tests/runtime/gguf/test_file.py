"""The GGUF reader against files of the gguf package, cut, changed and made to lie."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.errors import HalfbyteError, ModelFileError
from halfbyte.gguf.file import GGUFFile

HOSTILE_U64 = (0, 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with every kind of value and several tensor types."""
    path = tmp_path_factory.mktemp("gguf") / "sample.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("a.u8", 200)
    writer.add_int8("a.i8", -100)
    writer.add_uint16("a.u16", 60000)
    writer.add_int16("a.i16", -30000)
    writer.add_uint32("a.u32", 4_000_000_000)
    writer.add_int32("a.i32", -2_000_000_000)
    writer.add_uint64("a.u64", 2**63 + 5)
    writer.add_int64("a.i64", -(2**62))
    writer.add_float32("a.f32", 0.5)
    writer.add_float64("a.f64", 1e-100)
    writer.add_bool("a.bool", True)
    writer.add_string("a.string", "grüße")
    writer.add_array("a.strings", ["x", "", "zwei"])
    writer.add_array("a.ints", [1, -2, 3])
    writer.add_array("a.floats", [0.25, -1.5])
    rng = np.random.default_rng(0)
    writer.add_tensor("matrix", rng.standard_normal((3, 64)).astype(np.float32))
    writer.add_tensor("vector", rng.standard_normal(5).astype(np.float32))
    for kind in ("Q4_0", "Q8_0"):
        qtype = gguf.GGMLQuantizationType[kind]
        data = gguf.quants.quantize(rng.standard_normal((4, 96)).astype(np.float32), qtype)
        writer.add_tensor(kind, data, raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def to_file(data: bytes) -> Path:
        path = tmp_path / "changed.gguf"
        path.write_bytes(data)
        return path

    return to_file


def read_all(path: Path) -> None:
    """Open a file and touch everything that it offers."""
    with GGUFFile.open(path) as file:
        for name in file.tensors:
            file.data(name).sum()
        for key in file.metadata:
            file.metadata.raw(key)


def test_values_are_what_the_package_wrote(sample: Path) -> None:
    with GGUFFile.open(sample) as file:
        m = file.metadata
        assert file.version == 3
        assert m.get_int("a.u8") == 200
        assert m.get_int("a.u32") == 4_000_000_000
        assert m.raw("a.i64").value == -(2**62)
        assert m.raw("a.u64").value == 2**63 + 5
        assert m.raw("a.i32").value == -2_000_000_000
        assert m.get_float("a.f32") == 0.5
        assert m.get_float("a.f64") == 1e-100
        assert m.get_bool("a.bool") is True
        assert m.get_str("a.string") == "grüße"
        assert m.get_strings("a.strings") == [b"x", b"", b"zwei"]
        assert m.get_numbers("a.ints", floats=False).tolist() == [1, -2, 3]
        assert m.get_numbers("a.floats", floats=True).tolist() == [0.25, -1.5]
        assert m.keys() == [f.name for f in gguf.GGUFReader(sample).fields.values()][3:]


def test_tensors_are_where_the_package_put_them(sample: Path) -> None:
    reader = gguf.GGUFReader(sample)
    with GGUFFile.open(sample) as file:
        assert list(file.tensors) == [t.name for t in reader.tensors]
        for theirs in reader.tensors:
            ours = file.tensors[theirs.name]
            assert ours.shape == tuple(int(n) for n in theirs.shape[::-1])
            assert ours.type_name == theirs.tensor_type.name
            assert (ours.offset, ours.nbytes) == (theirs.data_offset, theirs.n_bytes)
            assert file.data(theirs.name).tobytes() == theirs.data.tobytes()
            assert file.data(theirs.name, 1, 4).tobytes() == theirs.data.tobytes()[1:4]


@pytest.mark.parametrize(
    ("getter", "key", "expected"),
    [
        ("get_int", "a.bool", "a whole number"),
        ("get_int", "a.f32", "a whole number"),
        ("get_int", "absent", "a whole number"),
        ("get_int", "a.i8", "from 0"),
        ("get_float", "a.u8", "a floating-point number"),
        ("get_str", "a.u8", "a string"),
        ("get_bool", "a.u8", "a bool"),
        ("get_strings", "a.ints", "strings"),
        ("get_strings", "a.u8", "an array"),
        ("get_strings", "absent", "an array"),
    ],
)
def test_getters_refuse_other_types(sample: Path, getter: str, key: str, expected: str) -> None:
    with GGUFFile.open(sample) as file, pytest.raises(ModelFileError) as caught:
        getattr(file.metadata, getter)(key)
    assert caught.value.field == key
    assert expected in caught.value.expected


def test_defaults_are_for_absent_keys_only(sample: Path) -> None:
    with GGUFFile.open(sample) as file:
        assert file.metadata.get_int("absent", 7) == 7
        assert file.metadata.get_float("absent", None) is None
        with pytest.raises(ModelFileError):
            file.metadata.get_int("a.string", 7)


def test_missing_empty_foreign_files_and_folders(
    write: Callable[[bytes], Path], tmp_path: Path
) -> None:
    for path in (tmp_path / "absent.gguf", tmp_path, write(b"")):
        with pytest.raises(ModelFileError) as caught:
            GGUFFile.open(path)
        assert caught.value.path == str(path)
    with pytest.raises(ModelFileError, match="magic"):
        GGUFFile.open(write(b"PK\3\4 something else altogether"))


def test_a_file_cut_anywhere_is_an_error(sample: Path, write: Callable[[bytes], Path]) -> None:
    data = sample.read_bytes()
    end = max(t.offset + t.nbytes for t in GGUFFile.open(sample).tensors.values())
    for n in range(1, end):
        path = write(data[:n])
        with pytest.raises(ModelFileError, match="cut short" if n > 8 else None):
            read_all(path)


@settings(max_examples=400)
@given(st.data())
def test_changed_bytes_never_do_worse_than_an_error(
    sample: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    original = sample.read_bytes()
    header = min(t.offset for t in GGUFFile.open(sample).tensors.values())
    changed = bytearray(original)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, header - 1))
        changed[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutated.gguf"
    path.write_bytes(bytes(changed))
    try:
        read_all(path)
    except HalfbyteError as error:
        assert str(path) in str(error)


def test_any_8_bytes_may_hold_any_number(sample: Path, write: Callable[[bytes], Path]) -> None:
    original = sample.read_bytes()
    header = min(t.offset for t in GGUFFile.open(sample).tensors.values())
    tracemalloc.start()
    for at in range(8, header - 8):
        for value in HOSTILE_U64:
            path = write(original[:at] + struct.pack("<Q", value) + original[at + 8 :])
            try:
                read_all(path)
            except ModelFileError:
                continue
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20e6  # a length of 2**31 must not be allocated
