"""Strings against the lists that they stand for, and as files hold them."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from halfbyte.files.file_reader import FileReader
from halfbyte.gguf import metadata
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.strings import Strings

# Empty ones, those with bytes 0 and those of more than 255 bytes have no short length before them.
PLAIN = st.binary(min_size=1, max_size=9).map(lambda s: s.replace(b"\0", b"a"))
ANY = st.one_of(PLAIN, st.just(b""), st.just(b"a\0\0\0\0\0\0\0b"), st.just(b"long" * 80))
LISTS = st.one_of(st.lists(PLAIN, max_size=40), st.lists(ANY, max_size=40))


@given(LISTS, st.integers(0, 40))
def test_a_list_of_them(strings: list[bytes], at: int) -> None:
    ours = Strings.of(strings)
    assert ours == strings and list(ours) == strings and len(ours) == len(strings)
    assert ours[1:at] == strings[1:at]
    assert ours.beginning_with(b"a").tolist() == [
        i for i, string in enumerate(strings) if string[:1] == b"a"
    ]
    wanted = {string: strings.index(string) for string in strings} | {b"absent" * 9: None}
    for _ in range(3):  # so often that a table is made
        assert {string: ours.find(string) for string in wanted} == wanted
    assert all((string in ours) == (string in strings) for string in (*strings, b"q", b""))
    if at < len(strings):
        assert ours[at] == strings[at]
        others = ours.but({at: b"other"})
        assert others == [*strings[:at], b"other", *strings[at + 1 :]]


@settings(max_examples=60, deadline=None)
@given(LISTS, LISTS, st.sampled_from([1, 16, 300, 1 << 16]))
def test_files_give_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, first: list[bytes], second: list[bytes], window: int
) -> None:
    path = tmp_path_factory.mktemp("strings") / "strings.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for name, strings in (("a", first), ("b", second)):
        if strings:  # the package writes no empty arrays
            writer.add_array(name, strings)
    writer.add_string("end", "of it")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metadata, "_FIRST_NBYTES", window)
        patch.setattr(metadata, "_BLOCK_NBYTES", window)
        with GGUFFile.open(path) as file:
            for name, strings in (("a", first), ("b", second)):
                assert not strings or file.metadata.get_strings(name) == strings
            assert file.metadata.get_str("end") == "of it"


def write(path: Path, strings: list[bytes]) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_array("a", strings)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("n_odd", [0, 3, 20])
def test_short_strings_are_found_without_looking_at_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_odd: int
) -> None:
    """Qwen's and Llama 3's vocabularies have a few long ones, which are read by themselves."""
    strings = [b"x" * (1 + i % 255) for i in range(1000)]
    for i in range(n_odd):
        strings[7 + 40 * i] = b"long" * 80
    path, read = write(tmp_path / "strings.gguf", strings), list[range]()
    each = metadata._each_string

    def noted(cursor: metadata.Cursor, numbers: range, key: str) -> Iterator[int]:
        read.append(numbers)
        return each(cursor, numbers, key)

    monkeypatch.setattr(metadata, "_each_string", noted)
    monkeypatch.setattr(metadata, "_BLOCK_NBYTES", 1 << 10)
    monkeypatch.setattr(metadata, "_MAX_ODD", 10)
    with GGUFFile.open(path) as file:
        assert file.metadata.get_strings("a") == strings
    odd = [range(i, i + 1) for i in range(7, 7 + 40 * n_odd, 40)]
    assert read == (odd if n_odd < 10 else [*odd[:9], range(odd[9].start, 1000)])


def test_strings_may_end_behind_their_block_and_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, strings = tmp_path / "strings", [b"a" * 3, b"b" * 20]
    path.write_bytes(b"".join(struct.pack("<Q", len(s)) + s for s in strings) + b"more")
    for n in range(8, 40):
        monkeypatch.setattr(metadata, "_FIRST_NBYTES", n)
        monkeypatch.setattr(metadata, "_BLOCK_NBYTES", n)
        file = FileReader(path)
        cursor = metadata.Cursor(file)
        assert metadata._read_strings(cursor, 2, "a") == strings
        assert cursor.take(4, "rest") == b"more"
        file.close()


def test_zeros_where_strings_should_be_take_no_memory(tmp_path: Path) -> None:
    path, plain, n = tmp_path / "zeros", struct.pack("<Q", 1) + b"a", 1 << 21
    path.write_bytes(plain * 9 + bytes(8 * n))  # those of length 0 are read one by one
    file = FileReader(path)
    cursor = metadata.Cursor(file)
    cursor.have(path.stat().st_size, "all")
    tracemalloc.start()
    assert len(metadata._short_strings(cursor, n)) == 9 and cursor.at == 9 * len(plain)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    file.close()
    assert peak < 48 * metadata._BLOCK_NBYTES
