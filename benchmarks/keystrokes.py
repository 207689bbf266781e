"""Somebody types in a long file: what stands before and after the cursor, key by key.

The file is the first 1,500 lines of the standard library's argparse. At some places of it, one
after another, the next lines are typed again as they stand there: a character at a time, a line end
together with the next line's indentation, as editors have it, and of every second line all
but its beginning at once, as when a completion is accepted.
"""

from __future__ import annotations

import argparse
import inspect
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

N_LINES = 1500
SEED = 1
N_TYPED = 8  # characters of a line before the rest is accepted

Kind = Literal["jump", "key", "enter", "accept"]


@dataclass(frozen=True, slots=True)
class Keystroke:
    """The text around the cursor after a key, and which key it was; a jump counts as one."""

    kind: Kind
    prefix: str
    suffix: str


def source() -> str:
    """The file."""
    lines = inspect.getsource(argparse).splitlines(keepends=True)[:N_LINES]
    if len(lines) < N_LINES:
        raise SystemExit(f"argparse.py: expected {N_LINES} lines, got {len(lines)}")
    return "".join(lines)


def keystrokes(text: str, n_keys: int, n_places: int) -> Iterator[Keystroke]:
    """n_keys of them at n_places places, each of which begins with a jump; always the same."""
    places = _places(text, n_places)
    for i, begin in enumerate(places):
        n_here = n_keys * (i + 1) // n_places - n_keys * i // n_places
        stops: list[tuple[int, Kind]] = [(begin, "jump"), *_stops(text, begin, n_here - 1)]
        end = text.find("\n", stops[-1][0])
        suffix = text[end if end >= 0 else len(text) :]
        for at, kind in stops:
            yield Keystroke(kind, text[:at], suffix)


def _places(text: str, n: int) -> list[int]:
    """Beginnings of code in lines all over the text, in the order of visits."""
    rng, lines = random.Random(SEED), text.splitlines(keepends=True)
    part = (len(lines) - 200) // n
    found = []
    for i in range(n):
        at = 100 + i * part + rng.randrange(part)
        while not lines[at].strip():
            at += 1
        indent = len(lines[at]) - len(lines[at].lstrip())
        found.append(sum(map(len, lines[:at])) + indent)
    rng.shuffle(found)
    return found


def _stops(text: str, at: int, n: int) -> list[tuple[int, Kind]]:
    """Where the cursor is after each of n keys from `at` on."""
    stops: list[tuple[int, Kind]] = []
    n_ended, code_begin = 0, at
    while len(stops) < n:
        line_end = text.find("\n", at)
        line_end = line_end if line_end >= 0 else len(text)
        kind: Kind = "key"
        if at == line_end:
            rest = text[at + 1 :]
            at, kind = at + 1 + len(rest) - len(rest.lstrip(" ")), "enter"
            n_ended, code_begin = n_ended + 1, at
        elif n_ended % 2 == 0 and at >= code_begin + N_TYPED:
            at, kind = line_end, "accept"
        else:
            at += 1
        stops.append((min(at, len(text)), kind))
    return stops
