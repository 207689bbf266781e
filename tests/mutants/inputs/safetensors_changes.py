"""Safetensors files taken apart, changed and put together again; and the index of several."""

from __future__ import annotations

import copy
import struct
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.mutants.inputs import json_changes
from tests.mutants.inputs.json_text import Members, Raw, dump, members, parse

DTYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "I64", "I32", "I16", "I8", "U8",
          "BOOL", "F4", "F8_E8M0", "C64", "U64", "f32", "", 5, None, ["F32"])  # fmt: skip
INTEGERS = (0, 1, -1, 2, 4, 7, 8, 31, 2**31, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1,
            2**64, -8, 10**40, 1.0, 1.5, True, None, "8", Raw("1e3"), Raw("-0"))  # fmt: skip
LENGTHS = (0, 1, 2, 7, 100, 2**31, 2**32, 2**53, 2**63, 2**64 - 8, 2**64 - 1)


@dataclass
class Document:
    """A file's parts; `length`, where set, is what the file says of its header."""

    header: Any
    data: bytes
    length: int | None = None
    ahead: bytes = b""
    behind: bytes = b""

    def entries(self) -> list[list[Any]]:
        """Name and entry of each tensor."""
        return [pair for pair in self.header if pair[0] != "__metadata__"]

    def to_bytes(self) -> bytes:
        """The file."""
        text = self.ahead + dump(self.header).encode() + self.behind
        length = len(text) if self.length is None else self.length
        return struct.pack("<Q", length) + text + self.data


def taken_apart(data: bytes) -> Document:
    """A well-formed file's parts."""
    end = 8 + int.from_bytes(data[:8], "little")
    return Document(parse(data[8:end].decode()), data[end:])


def written(tensors: dict[str, tuple[str, tuple[int, ...], bytes]]) -> bytes:
    """A file of tensors: name -> dtype, shape and bytes."""
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    return Document(members(header), b"".join(one[2] for one in tensors.values())).to_bytes()


def header_length(doc: Document, random: Random) -> None:
    """The length of the header."""
    n = len(dump(doc.header))
    doc.length = random.choice((*LENGTHS, n - 1, n + 1, n + 8, n // 2))


def padding(doc: Document, random: Random) -> None:
    """Bytes before or behind the header's text."""
    doc.ahead = random.choice((b"", b" ", b"\n\t", b"\xef\xbb\xbf", b"\0"))
    doc.behind = random.choice((b" " * 9, b"\0" * 8, b"x", b"{}", b"\n"))


def offsets(doc: Document, random: Random) -> None:
    """Where a tensor lies: overlapping, out of range, reversed, of another's, no numbers."""
    a, b = (random.choice(doc.entries())[1] for _ in range(2))
    begin, end = a.get("data_offsets")
    other = b.get("data_offsets")
    shifted = [begin + random.choice((-8, -4, 4, 8)), end]
    near = (shifted, [begin, end + 4], [end, begin], list(other), [begin], [begin, end, end],
            [begin, begin], [len(doc.data), len(doc.data) + end - begin])  # fmt: skip
    far = [random.choice(INTEGERS), random.choice(INTEGERS)]
    a.put("data_offsets", random.choice((*near, far, [begin, far[0]], [far[1], end])))


def shape(doc: Document, random: Random) -> None:
    """A tensor's shape: reversed, flat, with other numbers, with as many."""
    entry = random.choice(doc.entries())[1]
    old = entry.get("shape")
    n = 1
    for size in old:
        n *= size
    changed = [*old]
    if changed:
        changed[random.randrange(len(changed))] = random.choice(INTEGERS)
    entry.put("shape", random.choice((old[::-1], [n], [1, *old], [*old, 1], [], [2, n // 2],
                                      [2**32, 2**32], [0], changed, changed)))  # fmt: skip


def dtype(doc: Document, random: Random) -> None:
    """A tensor's type, perhaps with a shape of as many bytes."""
    entry = random.choice(doc.entries())[1]
    same_size = {"F16": "BF16", "BF16": "F16", "F32": "I32", "I32": "F32"}
    other = same_size.get(str(entry.get("dtype")), "F32")
    entry.put("dtype", random.choice(DTYPES) if random.random() < 0.7 else other)
    old = entry.get("shape")
    if old and random.random() < 0.5:
        factor = random.choice((2, 4))
        entry.put("shape", [*old[:-1], old[-1] * factor if random.random() < 0.5
                            else old[-1] // factor])  # fmt: skip


def names(doc: Document, random: Random) -> None:
    """Names exchanged, lost, doubled, or of no tensor."""
    a, b = random.choice(doc.entries()), random.choice(doc.entries())
    which = random.randrange(4)
    if which == 0:
        a[0], b[0] = b[0], a[0]
    elif which == 1:
        a[0] = random.choice((b[0], a[0] + " ", a[0].upper(), "model.layers.99.mlp.up_proj.weight",
                              "lm_head.weight", *json_changes.TEXTS))  # fmt: skip
    elif which == 2:
        doc.header.append(copy.deepcopy(a))
    else:
        doc.header.remove(a)


def metadata(doc: Document, random: Random) -> None:
    """What is said of the whole file."""
    value = random.choice((Members([["format", "tf"]]), Members([["x", 1]]), [], "x", None, 5,
                           Members([["x", Members()]]), *json_changes.DEEP))  # fmt: skip
    doc.header.put("__metadata__", value)


def numbers(doc: Document, random: Random) -> None:
    """Weights that are no numbers, infinite, huge or noise; or data of another length."""
    data = bytearray(doc.data)
    new = random.choice((b"\x00\x00\xc0\x7f", b"\x00\x00\x80\xff", b"\xff\xff\x7f\x7f", b"\x00\x7c",
                         b"\x00\x7e", b"\xc0\x7f", b"\x7f", random.randbytes(200)))  # fmt: skip
    for _ in range(random.choice((1, 30))):
        at = random.randrange(max(1, len(data) - len(new)))
        at -= at % random.choice((1, 2, 4))
        data[at : at + len(new)] = new
    end = random.choice((-1, -4, len(data) // 2)) if random.random() < 0.1 else None
    doc.data = bytes(data[:end])
    if random.random() < 0.1:
        doc.data += random.choice((b"\0", bytes(64)))


def tree(doc: Document, random: Random) -> None:
    """Anything in the header."""
    random.choice(json_changes.ON_TREES)(doc.header, random)


CHANGES: tuple[Callable[[Document, Random], None], ...] = (
    header_length, padding, offsets, offsets, shape, shape, dtype, dtype, names, names, metadata,
    numbers, numbers, tree, tree,
)  # fmt: skip


def harmless(data: bytes, random: Random) -> bytes:
    """The tensors in another order, in the header, in the data or both; spaces; metadata."""
    doc = taken_apart(data)
    rows = [(name, entry, doc.data[slice(*entry.get("data_offsets"))])
            for name, entry in doc.entries()]  # fmt: skip
    random.shuffle(rows)
    at, body = 0, b""
    for _, entry, content in rows:
        entry.put("data_offsets", [at, at + len(content)])
        at, body = at + len(content), body + content
    random.shuffle(rows)
    doc.header, doc.data = Members([name, entry] for name, entry, _ in rows), body
    if random.random() < 0.5:
        doc.header.insert(0, ["__metadata__", Members([["note", "x" * 300]])])
    doc.behind = b" " * random.choice((0, 5, 4_000))
    return doc.to_bytes()


def index(doc: Any, random: Random) -> None:
    """The index of a split checkpoint: where its tensors are said to lie."""
    places = doc.get("weight_map")
    pair = random.choice(places)
    which = random.randrange(4)
    if which == 0:
        pair[1] = random.choice((*json_changes.TEXTS, "../a.safetensors", "absent.safetensors",
                                 "config.json", ".", "a.safetensors/", 5, None, []))  # fmt: skip
    elif which == 1:
        for pair in places:
            pair[1] = random.choice(places)[1]
    elif which == 2:
        places.remove(pair)
    else:
        random.choice(json_changes.ON_TREES)(doc, random)
