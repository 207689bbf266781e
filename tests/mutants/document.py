"""A GGUF file taken apart and put together again, lies included. Knows nothing of halfbyte."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

STRING, ARRAY = 8, 9
# Type id -> struct's letter.
FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# Type id of ggml -> weights and bytes of a block; enough for the files that are mutated.
BLOCKS = {0: (1, 4), 1: (1, 2), 30: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34), 12: (256, 144),
          13: (256, 176), 14: (256, 210)}  # fmt: skip


@dataclass
class Entry:
    """A key, its type and its value; `raw`, where set, stands for type and value."""

    key: bytes
    type_id: int
    value: Any
    item_type: int = 0
    raw: bytes | None = None


@dataclass
class Tensor:
    """A row of the table and its bytes; `offset`, where set, is what the table says."""

    name: bytes
    dims: list[int]
    type_id: int
    data: bytes
    offset: int | None = None
    n_dims: int | None = None


@dataclass
class Document:
    """A file's parts; `counts` are the numbers of tensors and keys that the header states."""

    entries: list[Entry]
    tensors: list[Tensor]
    alignment: int = 32
    magic: bytes = b"GGUF"
    version: int = 3
    counts: list[int | None] = field(default_factory=lambda: [None, None])
    padding: bytes = b"\0"

    def entry(self, key: str) -> Entry | None:
        """The entry of a key."""
        return next((e for e in self.entries if e.key == key.encode()), None)

    def to_bytes(self) -> bytes:
        """The file."""
        table, body = [], b""
        for tensor in self.tensors:
            body += self._pad(len(body))
            offset = len(body) if tensor.offset is None else tensor.offset
            n_dims = len(tensor.dims) if tensor.n_dims is None else tensor.n_dims
            dims = b"".join(_u64(d) for d in tensor.dims)
            at = struct.pack("<IQ", tensor.type_id & 0xFFFFFFFF, offset % 2**64)
            table.append(_string(tensor.name) + struct.pack("<I", n_dims) + dims + at)
            body += tensor.data
        n_tensors = len(self.tensors) if self.counts[0] is None else self.counts[0]
        n_entries = len(self.entries) if self.counts[1] is None else self.counts[1]
        head = self.magic + struct.pack("<I", self.version % 2**32)
        head += _u64(n_tensors) + _u64(n_entries)
        head += b"".join(_string(e.key) + _value_of(e) for e in self.entries) + b"".join(table)
        return head + self._pad(len(head)) + body

    def _pad(self, at: int) -> bytes:
        n = -at % self.alignment
        return (self.padding * (n // len(self.padding) + 1))[:n]


def parse(data: bytes) -> Document:
    """A well-formed file's parts."""
    reader = _Reader(data)
    magic, version = reader.take(4), reader.number("I")
    n_tensors, n_entries = reader.number("Q"), reader.number("Q")
    entries = []
    for _ in range(n_entries):
        key, type_id = reader.string(), reader.number("I")
        if type_id == ARRAY:
            item_type, n = reader.number("I"), reader.number("Q")
            value = [reader.value(item_type) for _ in range(n)]
            entries.append(Entry(key, type_id, value, item_type))
        else:
            entries.append(Entry(key, type_id, reader.value(type_id)))
    rows = []
    for _ in range(n_tensors):
        name, n_dims = reader.string(), reader.number("I")
        dims = [reader.number("Q") for _ in range(n_dims)]
        rows.append((name, dims, reader.number("I"), reader.number("Q")))
    document = Document(entries, [], magic=magic, version=version)
    begin = reader.at + -reader.at % document.alignment
    for name, dims, type_id, offset in rows:
        n_weights, n_bytes = BLOCKS[type_id]
        count = 1
        for dim in dims:
            count *= dim
        at = begin + offset
        nbytes = count // n_weights * n_bytes
        document.tensors.append(Tensor(name, dims, type_id, data[at : at + nbytes]))
    return document


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, letter: str) -> Any:
        return struct.unpack("<" + letter, self.take(struct.calcsize("<" + letter)))[0]

    def string(self) -> bytes:
        return self.take(self.number("Q"))

    def value(self, type_id: int) -> Any:
        return self.string() if type_id == STRING else self.number(FIXED[type_id])


def _u64(n: int) -> bytes:
    return struct.pack("<Q", n % 2**64)


def _string(text: bytes) -> bytes:
    return _u64(len(text)) + text


def _value_of(entry: Entry) -> bytes:
    if entry.raw is not None:
        return entry.raw
    kind = struct.pack("<I", entry.type_id)
    if entry.type_id == ARRAY:
        items = b"".join(pack(entry.item_type, item) for item in entry.value)
        return kind + struct.pack("<I", entry.item_type) + _u64(len(entry.value)) + items
    return kind + pack(entry.type_id, entry.value)


def pack(type_id: int, value: Any) -> bytes:
    """A value of a fixed type or a string; integers wrap around, floats overflow to infinity."""
    if type_id == STRING:
        return _string(value)
    letter = FIXED[type_id]
    if letter in "fd":
        try:
            return struct.pack("<" + letter, value)
        except OverflowError:
            return struct.pack("<" + letter, float("inf") if value > 0 else float("-inf"))
    n_bits = 8 * struct.calcsize("<" + letter)
    number = int(value) % 2**n_bits if letter != "?" else int(bool(value))
    return number.to_bytes(n_bits // 8, "little")
