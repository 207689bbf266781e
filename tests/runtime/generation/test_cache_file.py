"""Files of remembered pages: what is written is read, and all else is refused, with one error."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from halfbyte.engine.binding import Binding
from halfbyte.errors import CacheFileError
from halfbyte.generation import cache_file
from halfbyte.generation.cache_file import CacheFile, PartToStore, Sizes, write
from halfbyte.generation.radix_tree import packed

BINDING = Binding("ab" * 32, {"n_layers": 2, "kv_type": "f16"}, "", "cd" * 32)
SIZE, SNAPSHOT_SIZE = 640, 200
SIZES = Sizes(SIZE, SNAPSHOT_SIZE)
ADAPTERS = [None, "an adapter"]
rng = np.random.default_rng(1)
PARTS = [
    PartToStore(
        "0" * 31 + str(i), packed(range(n)), rng.integers(0, 256, size).astype(np.uint8),
        kind="snapshot" if size == SNAPSHOT_SIZE else "page",
    )
    for i, (n, size) in enumerate([(128, SIZE), (1, SIZE), (1, SNAPSHOT_SIZE), (77, SIZE)])
]  # fmt: skip
same_folder = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file."""
    path = tmp_path / "file"
    write(path, BINDING, PARTS, ADAPTERS, is_lasting=True)
    return path


def contents(path: Path, binding: Binding = BINDING) -> list[tuple[str, bytes, bytes]]:
    """Of each page: its parent, its tokens, its data."""
    out = []
    with CacheFile(path, binding, SIZES) as file:
        assert file.adapters == ADAPTERS
        for i, part in enumerate(file.parts):
            data = np.zeros(SNAPSHOT_SIZE if part.kind == "snapshot" else SIZE, np.uint8)
            tokens = file.read(i, data)
            assert file.read_tokens(i) == tokens
            out.append((part.parent, tokens, data.tobytes()))
    return out


EXPECTED = [(part.parent, part.tokens, part.data.tobytes()) for part in PARTS]


def test_what_is_written_is_read_by_its_writer_alone(path: Path) -> None:
    assert contents(path) == EXPECTED
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_file_takes_the_place_of_another_in_one_step(path: Path) -> None:
    with CacheFile(path, BINDING, SIZES) as old:
        assert write(path, BINDING, [], is_lasting=False) == path.stat().st_size
        assert old.read(3, np.zeros(SIZE, np.uint8)) == PARTS[3].tokens
    with CacheFile(path, BINDING, SIZES) as new:
        assert new.parts == []


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("model", replace(BINDING, model="ef" * 32)),
        ("layout", replace(BINDING, layout={"n_layers": 2, "kv_type": "f32"})),
        ("states", replace(BINDING, states="another")),
        ("arithmetic", replace(BINDING, arithmetic="")),
    ],
)
def test_a_foreign_file_says_what_differs(path: Path, field: str, other: Binding) -> None:
    with pytest.raises(CacheFileError, match=field) as caught:
        contents(path, other)
    assert (caught.value.field, caught.value.path) == (field, str(path))
    assert other.digest != BINDING.digest


@given(st.integers(0, 5000), st.binary(max_size=3))
@same_folder
def test_cut_short_or_longer(path: Path, n: int, more: bytes) -> None:
    whole = path.read_bytes()
    other = whole[:n] + more
    if other == whole:
        return
    copy = path.with_name("copy")
    copy.write_bytes(other)
    with pytest.raises(CacheFileError):
        contents(copy)


@given(st.data())
@same_folder
def test_changed_bytes(path: Path, data: st.DataObject) -> None:
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    copy = path.with_name("copy")
    copy.write_bytes(whole)
    if whole == path.read_bytes():
        return
    with pytest.raises(CacheFileError):
        contents(copy)


def _sealed(header: bytes) -> bytes:
    begin = b"halfbyte prompt cache 2\n" + header + b"\n"
    return begin + hashlib.blake2b(begin, digest_size=16).hexdigest().encode() + b"\n"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
binding_fields = {
    "model": BINDING.model, "layout": BINDING.layout, "states": "", "arithmetic": "cd" * 32,
}  # fmt: skip
rows = st.lists(
    st.fixed_dictionaries(
        {"parent": json_values | st.just("0" * 32), "n_tokens": json_values | st.just(3)},
        optional={
            "crc": json_values | st.just(3),
            "kind": json_values,
            "more": json_values,
        },
    )
    | json_values,
    max_size=2,
)
headers = json_values | st.fixed_dictionaries(
    {"binding": st.just(binding_fields) | json_values, "parts": rows | json_values},
    optional={"adapters": st.lists(json_values, max_size=2)},
)


@given(headers.map(json.dumps))
@example("[" * 100_000)
@example("9" * 10_000)
@example("{}")
@settings(same_folder, max_examples=40)
def test_hostile_headers_with_right_checksums(path: Path, header: str) -> None:
    path.write_bytes(_sealed(header.encode()))
    try:
        with CacheFile(path, BINDING, SIZES) as file:
            assert file.parts == []
    except CacheFileError as error:
        assert error.path == str(path)


def test_what_others_can_write_is_refused(path: Path) -> None:
    path.chmod(0o666)
    with pytest.raises(CacheFileError, match="user"):
        contents(path)
    with pytest.raises(FileNotFoundError):
        contents(path.with_name("another"))


@pytest.mark.parametrize("n_written", [0, 1, 3])
def test_a_full_disk_leaves_what_was_there(
    path: Path, monkeypatch: pytest.MonkeyPatch, n_written: int
) -> None:
    real, calls = cache_file._write_all, []

    def fails(file: BinaryIO, data: memoryview) -> None:
        calls.append(data)
        if len(calls) > n_written:
            raise OSError(errno.ENOSPC, "full")
        real(file, data)

    monkeypatch.setattr(cache_file, "_write_all", fails)
    with pytest.raises(OSError, match="full"):
        write(path, BINDING, PARTS, is_lasting=False)
    assert contents(path) == EXPECTED
    assert os.listdir(path.parent) == ["file"]


def test_a_disk_that_takes_little_at_a_time(path: Path) -> None:
    class Slow:
        got = b""

        def write(self, data: memoryview) -> int:
            self.got += bytes(data[:7])
            return min(7, len(data))

    slow = Slow()
    cache_file._write_all(slow, memoryview(PARTS[0].data))  # type: ignore[arg-type]
    assert slow.got == PARTS[0].data.tobytes()
    with pytest.raises(OSError):
        cache_file._write_all(type("Full", (), {"write": lambda *_: 0})(), memoryview(b"x"))  # type: ignore[arg-type]
