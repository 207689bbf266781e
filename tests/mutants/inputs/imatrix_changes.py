"""Importance matrices, the older .dat form: taken apart, changed, put together again.

    i32 n, then n x { string name, i32 n_calls, i32 K, f32[K] }, i32 n_chunks, string text

The GGUF form is changed as any GGUF file is, and by the two functions at the end.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.mutants import mutations
from tests.mutants.document import Document as GGUFDocument

INTEGERS = (0, 1, -1, 2, 3, 31, 255, 2**16, 2**24, 2**31 - 1, -(2**31), 2**29, 2**30)


@dataclass
class Entry:
    """A matrix; `length` and `name_length`, where set, are what the file says."""

    name: bytes
    n_calls: int
    values: list[float]
    length: int | None = None
    name_length: int | None = None


@dataclass
class Document:
    """A file's parts; `count`, where set, is the number of entries that it states."""

    entries: list[Entry]
    n_chunks: int
    text: bytes
    count: int | None = None
    tail: bytes | None = None

    def to_bytes(self) -> bytes:
        """The file."""
        out = [_i32(len(self.entries) if self.count is None else self.count)]
        for e in self.entries:
            name_length = len(e.name) if e.name_length is None else e.name_length
            length = len(e.values) if e.length is None else e.length
            out += [_i32(name_length), e.name, _i32(e.n_calls), _i32(length)]
            out.append(struct.pack(f"<{len(e.values)}f", *e.values))
        tail = _i32(self.n_chunks) + _i32(len(self.text)) + self.text
        return b"".join([*out, tail if self.tail is None else self.tail])


def taken_apart(data: bytes) -> Document:
    """A well-formed file's parts; struct.error or ValueError for another."""
    at = 0

    def i32() -> int:
        nonlocal at
        at += 4
        return int(struct.unpack_from("<i", data, at - 4)[0])

    def take(n: int) -> bytes:
        nonlocal at
        if n < 0 or at + n > len(data):
            raise ValueError(f"{n} bytes of {len(data) - at}")
        at += n
        return data[at - n : at]

    entries = []
    for _ in range(i32()):
        name = take(i32())
        n_calls, k = i32(), i32()
        entries.append(Entry(name, n_calls, list(struct.unpack(f"<{k}f", take(4 * k)))))
    if at == len(data):  # of early versions
        return Document(entries, 1, b"", tail=b"")
    return Document(entries, i32(), take(i32()))


def counts(doc: Document, random: Random) -> None:
    """Numbers of entries, of calls, of chunks."""
    entry, n = random.choice(doc.entries), random.choice(INTEGERS)
    which = random.randrange(3)
    if which == 0:
        doc.count = n
    elif which == 1:
        entry.n_calls = n
    else:
        doc.n_chunks = n


def lengths(doc: Document, random: Random) -> None:
    """Lengths that are not so, or numbers that are one more or fewer."""
    entry = random.choice(doc.entries)
    which = random.randrange(4)
    if which == 0:
        entry.length = random.choice((*INTEGERS, len(entry.values) + 1))
    elif which == 1:
        entry.name_length = random.choice((*INTEGERS, len(entry.name) - 1))
    elif which == 2:
        entry.values = random.choice(([], entry.values[:-1], [*entry.values, 1.0], [1.0]))
    else:
        doc.tail = random.choice((b"", b"\0", _i32(1), _i32(1) + _i32(2**31 - 1), bytes(99)))


def names(doc: Document, random: Random) -> None:
    """Entries lost, doubled, renamed."""
    a, b = random.choice(doc.entries), random.choice(doc.entries)
    which = random.randrange(3)
    if which == 0:
        doc.entries.remove(a)
    elif which == 1:
        doc.entries.append(b)
    else:
        a.name = random.choice((b.name, *mutations.TEXTS, a.name + b"\0"))


def values(doc: Document, random: Random) -> None:
    """Sums of squares: one, or all of a matrix."""
    entry = random.choice(doc.entries)
    new = random.choice((0.0, -0.0, -1.0, 1e-45, 1e-30, 3.4e38, float("inf"), float("nan")))
    if random.random() < 0.5:
        entry.values = [new] * len(entry.values)
    elif entry.values:
        entry.values[random.randrange(len(entry.values))] = new


ON_PARTS: tuple[Callable[[Document, Random], None], ...] = (counts, lengths, names, values, values)


def harmless(data: bytes, random: Random) -> bytes:
    """The entries in another order, another text, or no tail."""
    doc = taken_apart(data)
    random.shuffle(doc.entries)
    doc.text = random.choice((b"", b"other.txt", b"\xff"))
    doc.tail = random.choice((None, b""))
    return doc.to_bytes()


def sums(doc: GGUFDocument, random: Random) -> None:
    """The numbers of a GGUF file's tensors: sums of squares, or counts."""
    tensor = random.choice(doc.tensors)
    new = struct.pack("<f", random.choice((0.0, -0.0, -1.0, 0.5, 1e-45, 3.4e38, 2.0**40,
                                           float("inf"), float("nan"))))  # fmt: skip
    at = 4 * random.randrange(max(1, len(tensor.data) // 4))
    data = tensor.data[:at] + new + tensor.data[at + 4 :]
    tensor.data = new * (len(data) // 4) if random.random() < 0.5 else data


def parts(doc: GGUFDocument, random: Random) -> None:
    """Sums without a count, counts of several, sums of another width."""
    tensor = random.choice(doc.tensors)
    which = random.randrange(4)
    if which == 0:
        doc.tensors.remove(tensor)
    elif which == 1:
        tensor.dims, tensor.data = [tensor.dims[0], 3], tensor.data * 3
    elif which == 2:
        tensor.dims, tensor.data = [0, 1], b""
    else:
        n = len(tensor.data) // 4
        tensor.dims = [n - 1, 1] if n > 1 else [2, 1]
        tensor.data = tensor.data[:-4] if n > 1 else tensor.data * 2


def _i32(n: int) -> bytes:
    return (n % 2**32).to_bytes(4, "little")
