"""Changes of JSON files: each function of the table changes one thing somewhere in the tree."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.mutants.inputs.json_text import Members, Raw, dump, parse

NUMBERS = (
    0, 1, -1, 2, 3, 7, 31, 32, 64, 255, 65_535, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63, 2**64,
    -(2**31), -(2**63), 10**30, Raw("1" + "0" * 400), Raw("-" + "9" * 5_000), 0.0, -0.0, 0.5, 1.5,
    64.0, 1e-5, 1e-45, 1e-320, 1e10, 3.5e38, 1e308, Raw("1e999"), Raw("-1e999"), Raw("NaN"),
    Raw("Infinity"), Raw("-Infinity"), Raw("1E2"), Raw("01"), Raw("0x10"),
)  # fmt: skip
TEXTS = (
    "", " ", "x", "\0", "a\nb", "64", "true", "None", "llama", "default", "gpt2", "<s>", "▁",
    "日本\u202e\x1b]0;x\x07", "e\u0301", "../../etc/passwd", "/dev/zero", "%s{0}", "x" * 70_000,
    Raw('"\\ud800"'), Raw('"\\ud83d\\ude00"'), Raw('"\\u0000x"'), Raw('"\\q"'), Raw("'x'"),
)  # fmt: skip
OTHERS = (None, True, False, [], Members(), [[]], [None], [0], ["x"], Members([["x", 1]]),
          Members([["", None]]))  # fmt: skip
DEEP = (Raw("[" * 100_000 + "]" * 100_000), Raw('{"a":' * 3_000 + "1" + "}" * 3_000),
        Raw("[" * 900 + "]" * 900), Raw("[" * 100_000))  # fmt: skip
WHOLE = ("[]", "null", "5", '"x"', "", " \n", "{", "}{", "{}", "[" * 200_000, "// x\n{}")
Change = Callable[[Any, Random], None]


def _branches(tree: Any, random: Random) -> list[Any]:
    """A path of objects and lists from the root down; a vocabulary's many are a step like any."""
    path = [tree]
    while True:
        node = path[-1]
        below = [pair[1] for pair in node] if isinstance(node, Members) else node
        below = [value for value in below if isinstance(value, list) and value]
        if not below or random.random() < 0.35:
            return path
        path.append(random.choice(below))


def _place(tree: Any, random: Random) -> tuple[Any, int]:
    """A pair or a list, and the index of a value in it."""
    node = _branches(tree, random)[-1]
    at = random.randrange(len(node))
    return (node[at], 1) if isinstance(node, Members) else (node, at)


def other_type(tree: Any, random: Random) -> None:
    """A value of any kind."""
    owner, at = _place(tree, random)
    owner[at] = copy.deepcopy(random.choice(random.choice((NUMBERS, TEXTS, OTHERS))))


def same_type(tree: Any, random: Random) -> None:
    """A value of the same type: extreme or near."""
    owner, at = _place(tree, random)
    old = owner[at]
    if isinstance(old, bool):
        owner[at] = not old
    elif isinstance(old, int | float):
        near = (old + 1, old - 1, -old, old * 2, old // 2, float(old), str(old))
        owner[at] = random.choice(near if random.random() < 0.5 else NUMBERS)
    elif isinstance(old, str):
        near_text = (old + "x", old[:-1], old.upper(), old * 2, " " + old)
        owner[at] = random.choice(near_text if random.random() < 0.5 else TEXTS)
    elif isinstance(old, list):
        half, n = old[: len(old) // 2], len(old)
        again = [*old, *old[: 1 + n // 9]] if n > 100 else old * 2
        changed = random.choice((half, old[:-1], again, old[::-1], []))
        owner[at] = type(old)(changed)
    else:
        owner[at] = copy.deepcopy(random.choice(OTHERS))


def delete(tree: Any, random: Random) -> None:
    """A key or an item lost."""
    node = _branches(tree, random)[-1]
    del node[random.randrange(len(node))]


def double(tree: Any, random: Random) -> None:
    """A key or an item that comes twice, with its own value or another."""
    node = _branches(tree, random)[-1]
    again = copy.deepcopy(random.choice(node))
    if isinstance(node, Members) and random.random() < 0.5:
        again[1] = copy.deepcopy(random.choice(random.choice((NUMBERS, TEXTS, OTHERS))))
    node.insert(random.randrange(len(node) + 1), again)


def swap(tree: Any, random: Random) -> None:
    """Two values exchanged, perhaps of different objects."""
    (a, i), (b, j) = _place(tree, random), _place(tree, random)
    a[i], b[j] = copy.deepcopy(b[j]), copy.deepcopy(a[i])


def rename(tree: Any, random: Random) -> None:
    """A key under another name."""
    found = [node for node in _branches(tree, random) if isinstance(node, Members)]
    pair = random.choice(random.choice(found))
    other = random.choice(random.choice(found))[0]
    pair[0] = random.choice((other, pair[0] + "x", pair[0].upper(), *TEXTS[:4]))


def nest(tree: Any, random: Random) -> None:
    """A value at the bottom of many lists or objects."""
    owner, at = _place(tree, random)
    owner[at] = random.choice((*DEEP, [owner[at]], Members([["x", owner[at]]])))


def move(tree: Any, random: Random) -> None:
    """A part of the tree put elsewhere."""
    owner, at = _place(tree, random)
    node = random.choice(_branches(tree, random))
    value = copy.deepcopy(owner[at])
    if isinstance(node, Members):
        node.put(str(random.choice(node)[0]) if node else "x", value)
    else:
        node.append(value)


ON_TREES: tuple[Change, ...] = (
    other_type, other_type, same_type, same_type, delete, double, swap, rename, nest, move,
)  # fmt: skip


def whole(text: str, random: Random) -> bytes:
    """Another text in its place, or another encoding of it."""
    which = random.randrange(5)
    if which == 0:
        return random.choice(WHOLE).encode()
    if which == 1:
        return b"\xef\xbb\xbf" + text.encode()
    if which == 2:
        return text.encode("utf-16")
    if which == 3:
        return text.encode("latin-1", "replace")
    return text.encode() + random.choice((b"x", b"\0" * 4_096, b"\xff", b"{}", b","))


def harmless(data: bytes, random: Random, notes: Sequence[tuple[str, Any]] = ()) -> bytes:
    """Another order of the outermost keys, white space, escapes, keys that mean nothing."""
    tree = parse(data.decode())
    random.shuffle(tree)
    if notes and random.random() < 0.7:
        for key, value in random.sample(notes, random.randrange(1, len(notes) + 1)):
            tree.put(key, value)
    indent = random.choice(("", "\n  ", "\t\r\n "))
    return dump(tree, indent=indent, ascii=random.random() < 0.5).encode()
