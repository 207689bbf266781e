"""Mutations of GGUF files: `mutate(data, random)` gives bytes, and whether they mean the same.

Each function of a table changes one thing; a mutant may undergo up to three of them. All is drawn
from one seeded `random.Random`, so a mutant is its file and its number.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from tests.mutants.document import ARRAY, FIXED, STRING, Document, Entry, Tensor, pack, parse

INTEGERS = (0, 1, 2, 3, 7, 31, 33, 255, 256, 65535, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**40,
            2**62, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e-10, 1e10, 3.4e38, 1e300, float("inf"), float("-inf"),
          float("nan"))  # fmt: skip
TEXTS = (b"", b"\0", b"llama", b"qwen2", b"gpt2", b"default", b"\xff\xfe", b"x" * 70_000,
         "日本\u202e\x1b]0;x\x07".encode(), b"<s>", b"%s{0}", b"\xed\xa0\x80")  # fmt: skip
VOCABULARY = "tokenizer.ggml."


def _integer(random: Random, old: int) -> int:
    near = (old + 1, old - 1, old * 2, old // 2, old + 32, -old)
    return random.choice(near if random.random() < 0.4 else INTEGERS)


# Bytes, whatever they mean.


def flip(data: bytes, random: Random) -> bytes:
    """Some bits, mostly of the head, where the lengths are."""
    changed = bytearray(data)
    end = len(data) if random.random() < 0.3 else min(len(data), random.choice((64, 2_000, 20_000)))
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        changed[random.randrange(end)] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(data: bytes, random: Random) -> bytes:
    """Cut off: anywhere, near the beginning, or a little before the end."""
    at = (random.randrange(len(data)), random.randrange(400), len(data) - random.randrange(1, 600))
    return data[: random.choice(at)]


def overwrite(data: bytes, random: Random) -> bytes:
    """A stretch of the file with zeros, ones, noise, or another stretch."""
    at, n = random.randrange(len(data)), random.choice((1, 4, 8, 100))
    source = random.randrange(len(data))
    new = random.choice((bytes(n), b"\xff" * n, random.randbytes(n), data[source : source + n]))
    return data[:at] + new + data[at + len(new) :]


def shift(data: bytes, random: Random) -> bytes:
    """Bytes put in or taken out."""
    at, n = random.randrange(len(data)), random.choice((1, 4, 8, 32))
    return data[:at] + (
        random.randbytes(n) + data[at:] if random.random() < 0.5 else data[at + n :]
    )


# The header, keys and values.


def header(doc: Document, random: Random) -> None:
    """Magic, version or counts."""
    which = random.randrange(4)
    if which == 0:
        doc.magic = random.choice((b"GGML", b"GGUf", b"\0\0\0\0", b"FUGG"))
    elif which == 1:
        doc.version = random.choice((0, 1, 2, 4, 2**24 * 3, 2**32 - 1))
    else:
        old = (len(doc.tensors), len(doc.entries))[which - 2]
        doc.counts[which - 2] = _integer(random, old)


def value(doc: Document, random: Random) -> None:
    """A value of the same type: extreme or near."""
    entry = random.choice([e for e in doc.entries if e.type_id != ARRAY])
    if entry.type_id == STRING:
        entry.value = random.choice((*TEXTS, entry.value[:-1], entry.value + b"x"))
    elif FIXED[entry.type_id] in "fd":
        near = (entry.value * 2, -entry.value, entry.value / 10)
        entry.value = random.choice((*near, *FLOATS))
    else:
        entry.value = _integer(random, int(entry.value))


def retype(doc: Document, random: Random) -> None:
    """A value of another type, its bits or its number."""
    entry = random.choice(doc.entries)
    type_id = random.choice((*FIXED, STRING, ARRAY, 13, 2**31))
    if type_id in FIXED:
        number = entry.value if isinstance(entry.value, int | float) else random.choice(INTEGERS)
        number = 0 if number != number or abs(number) == float("inf") else number
        entry.type_id, entry.value = type_id, number
    elif type_id == STRING:
        entry.type_id, entry.value = STRING, random.choice(TEXTS)
    elif type_id == ARRAY:
        entry.item_type, entry.value = random.choice(((5, [1, 2]), (STRING, [b"a"]), (6, [])))
        entry.type_id = ARRAY
    else:
        entry.raw = struct.pack("<I", type_id) + bytes(8)


def lie_about_length(doc: Document, random: Random) -> None:
    """A string's or an array's length that is not so, or arrays in arrays."""
    entry = random.choice([e for e in doc.entries if e.type_id in (STRING, ARRAY)])
    n = _integer(random, len(entry.value)) % 2**64
    if entry.type_id == STRING:
        entry.raw = struct.pack("<IQ", STRING, n) + entry.value
    elif random.random() < 0.3:
        depth = random.choice((2, 100, 5_000))
        entry.raw = struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * depth + bytes(12)
    else:
        items = b"".join(pack(entry.item_type, item) for item in entry.value)
        entry.raw = struct.pack("<IIQ", ARRAY, entry.item_type, n) + items


def keys(doc: Document, random: Random) -> None:
    """A key lost, doubled, renamed, or two values exchanged."""
    a, b = random.choice(doc.entries), random.choice(doc.entries)
    which = random.randrange(4)
    if which == 0:
        doc.entries.remove(a)
    elif which == 1:
        doc.entries.insert(random.randrange(len(doc.entries)), a)
    elif which == 2:
        a.key = random.choice((*TEXTS, a.key + b"\0", a.key.upper(), b.key))
    else:
        for name in ("type_id", "value", "item_type"):
            first, second = getattr(a, name), getattr(b, name)
            setattr(a, name, second)
            setattr(b, name, first)


def shape(doc: Document, random: Random) -> None:
    """The model's numbers: sizes, heads, layers, context, RoPE, window, alignment."""
    numbers = [e for e in doc.entries if e.type_id in FIXED and not e.key.startswith(b"halfbyte")]
    entry = random.choice(numbers)
    if FIXED[entry.type_id] in "fd":
        entry.value = random.choice(FLOATS)
        return
    if random.random() < 0.3:
        name = random.choice(("sliding_window", "rope.dimension_count", "expert_count",
                              "attention.key_length", "vocab_size", "block_count"))  # fmt: skip
        architecture = doc.entry("general.architecture")
        stem = architecture.value if architecture is not None else b"llama"
        if name == "sliding_window":
            stem = b"halfbyte"  # of Mistral, in a key of our own
        key = (stem if isinstance(stem, bytes) else b"llama") + b"." + name.encode()
        found = doc.entry(key.decode(errors="replace"))
        entry = found or Entry(key, 4, 24)
        if found is None:
            doc.entries.append(entry)
    elif random.random() < 0.2:
        doc.entries.append(Entry(b"general.alignment", 4, random.choice(INTEGERS) % 2**32))
        return
    # Windows become constants of kernels: few values, so that few are compiled.
    is_window = entry.key.endswith(b"sliding_window")
    entry.value = random.choice((0, 1, 24, 2**31)) if is_window else _integer(random, entry.value)


# Tensors.


def table(doc: Document, random: Random) -> None:
    """A row of the tensors' table: dimensions, type, offset or name."""
    tensor = random.choice(doc.tensors)
    which = random.randrange(6)
    if which == 0:
        at = random.randrange(len(tensor.dims))
        tensor.dims[at] = _integer(random, tensor.dims[at])
    elif which == 1:
        tensor.dims = random.choice((tensor.dims[::-1], [*tensor.dims, 1], tensor.dims[:1], []))
    elif which == 2:
        tensor.n_dims = random.choice((0, 1, 3, 5, 1000, 2**32 - 1))
    elif which == 3:
        tensor.type_id = random.choice((*range(41), 255, 2**31, 2**32 - 1))
    elif which == 4:
        tensor.offset = random.choice((1, 31, 32, 2**63, 2**64 - 32, *INTEGERS))
    else:
        tensor.name = random.choice((*TEXTS, doc.tensors[0].name, tensor.name + b" "))


def tensors(doc: Document, random: Random) -> None:
    """A tensor lost, doubled, exchanged, added or cut short."""
    a, b = random.choice(doc.tensors), random.choice(doc.tensors)
    which = random.randrange(5)
    if which == 0:
        doc.tensors.remove(a)
    elif which == 1:
        doc.tensors.append(a)
    elif which == 2:
        a.name, b.name = b.name, a.name
    elif which == 3:
        name = random.choice((b"blk.0.attn_q.bias", b"blk.99.ffn_up.weight", b"rope_freqs.weight"))
        dims = random.choice(([8], [32, 2], [1]))
        data = struct.pack("<64f", *[random.choice(FLOATS[:-4]) for _ in range(64)])
        doc.tensors.append(Tensor(name, dims, 0, data))
    else:
        a.data = a.data[: len(a.data) // 2]


def weights(doc: Document, random: Random) -> None:
    """Weights that are no numbers, infinite, huge or noise."""
    tensor = random.choice(doc.tensors)
    data = bytearray(tensor.data)
    nan_16, inf_16, nan_32 = b"\x00\x7e", b"\x00\x7c", b"\x00\x00\xc0\x7f"
    big_32, inf_32 = struct.pack("<f", 3e38), b"\x00\x00\x80\xff"
    new = random.choice((nan_16, inf_16, nan_32, big_32, inf_32, random.randbytes(400)))
    for _ in range(random.choice((1, 30))):
        at = random.randrange(max(1, len(data) - len(new)))
        at -= at % random.choice((1, 4, 34, 18))
        data[at : at + len(new)] = new
    tensor.data = bytes(data[: len(tensor.data)])


# The vocabulary.


def vocabulary(doc: Document, random: Random) -> None:
    """Pieces, scores, types or merges: doubled, empty, of other kinds, too many, too few."""
    arrays = [e for e in doc.entries if e.type_id == ARRAY and e.key.startswith(b"tokenizer")]
    arrays = [e for e in arrays if e.value]
    if not arrays:
        return keys(doc, random)
    entry = random.choice(arrays)
    items = entry.value
    for _ in range(random.choice((1, 1, 5, len(items)))):
        at = random.randrange(len(items))
        if entry.item_type == STRING:
            other = items[random.randrange(len(items))]
            items[at] = random.choice((other, items[at][:-1], items[at] * 2, *TEXTS))
        elif FIXED.get(entry.item_type, "") in "fd":
            items[at] = random.choice(FLOATS)
        else:
            items[at] = random.choice((0, 1, 2, 3, 4, 5, 6, 7, -1, 2**31 - 1))
    if random.random() < 0.2:
        n = len(items)
        entry.value = random.choice((items[: n // 2], items[:-1], items + items[:1], [], items * 2))
    return None


def specials(doc: Document, random: Random) -> None:
    """The ids of special tokens, flags, and the names of the kinds."""
    name = random.choice((
        "bos_token_id", "eos_token_id", "eot_token_id", "unknown_token_id", "padding_token_id",
        "fim_pre_token_id", "fim_suf_token_id", "fim_mid_token_id", "add_bos_token",
        "add_space_prefix", "model", "pre",
    ))  # fmt: skip
    entry = doc.entry(VOCABULARY + name)
    if entry is None:
        entry = Entry((VOCABULARY + name).encode(), 4, 0)
        doc.entries.append(entry)
    if name in ("model", "pre"):
        entry.type_id, entry.value = STRING, random.choice((b"gpt2", b"llama", b"qwen2", *TEXTS))
    else:
        entry.value = random.choice(INTEGERS)


# What changes nothing.


def harmless(doc: Document, random: Random) -> None:
    """Another order, other padding, another alignment, a key that nobody reads."""
    for change in random.sample(range(5), random.randrange(1, 6)):
        if change == 0:
            random.shuffle(doc.entries)
        elif change == 1:
            random.shuffle(doc.tensors)
        elif change == 2:
            doc.padding = random.randbytes(64)
        elif change == 3:
            doc.alignment = random.choice((64, 128, 4096))
            doc.entries = [e for e in doc.entries if e.key != b"general.alignment"]
            doc.entries.append(Entry(b"general.alignment", 4, doc.alignment))
        else:
            extra = random.choice(((STRING, b"x" * 1_000), (4, 7), (12, float("nan")), (7, True)))
            doc.entries.insert(0, Entry(b"somebody.note", *extra))


ON_BYTES: tuple[Callable[[bytes, Random], bytes], ...] = (flip, flip, truncate, overwrite, shift)
ON_PARTS: tuple[Callable[[Document, Random], None], ...] = (
    header, value, value, retype, lie_about_length, keys, shape, shape, table, table, tensors,
    weights, vocabulary, vocabulary, specials,
)  # fmt: skip


def mutate(data: bytes, random: Random) -> tuple[str, bytes, bool]:
    """What was done, the file, and whether it means what it meant."""
    kind = random.random()
    if kind < 0.05:
        doc = parse(data)
        harmless(doc, random)
        return "harmless", doc.to_bytes(), True
    done = []
    if kind < 0.75:
        doc = parse(data)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            change = random.choice(ON_PARTS)
            done.append(change.__name__)
            try:
                change(doc, random)
            except (AttributeError, TypeError, IndexError, ValueError):
                done[-1] += "?"  # an earlier change left nothing that this one could change
        data = doc.to_bytes()
    if kind >= 0.7:
        change_bytes = random.choice(ON_BYTES)
        done.append(change_bytes.__name__)
        data = change_bytes(data, random) if len(data) > 1 else data
    return "+".join(done), data, False
