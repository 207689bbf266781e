"""What a request's prompt begins with, and which replica has seen such a beginning."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

BLOCK = 256  # characters, which are some sixty tokens: half a page of keys and values
_MOST_BLOCKS = 256  # of a prompt: what goes on alike beyond them is where its beginning is
# Where protocols have prompts, in the order in which models see them.
_FIELDS = (
    "system", "instructions", "tools", "input_extra", "messages", "input", "prompt", "input_prefix",
    "suffix", "input_suffix",
)  # fmt: skip


def prompt_text(body: bytes) -> str:
    """The texts that a request's prompt is made of; nothing where there are none."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(fields, dict):
        return ""
    return "\n".join(text for name in _FIELDS for text in _texts(fields.get(name)))


def _texts(value: Any) -> Iterator[str]:
    """Texts and numbers in a JSON value, in order."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += [*reversed(one.values())]
        elif isinstance(one, list):
            left += [*reversed(one)]
        elif isinstance(one, (str, int)):
            yield str(one)


def digests(text: str) -> list[bytes]:
    """One for each beginning of whole blocks, the shortest first."""
    found: list[bytes] = []
    last = b""
    for at in range(0, min(len(text) // BLOCK, _MOST_BLOCKS) * BLOCK, BLOCK):
        block = text[at : at + BLOCK].encode("utf-8", "surrogatepass")
        last = blake2b(last + block, digest_size=8).digest()
        found.append(last)
    return found


class Seen:
    """Which replica has seen which beginnings, the latest `n_most` of each.

    Args:
        n_most: beginnings that are kept for each replica.
    """

    def __init__(self, n_most: int) -> None:
        self._n_most = n_most
        self._seen: dict[Hashable, OrderedDict[bytes, None]] = {}

    def add(self, replica: Hashable, prompt: Sequence[bytes]) -> None:
        """A replica has got a prompt with these digests."""
        seen = self._seen.setdefault(replica, OrderedDict())
        for digest in reversed(prompt):  # so that what is forgotten first is what is rarest
            seen[digest] = None
            seen.move_to_end(digest)
        while len(seen) > self._n_most:
            seen.popitem(last=False)

    def n_known(self, replica: Hashable, prompt: Sequence[bytes]) -> int:
        """How many of a prompt's first blocks a replica has seen."""
        seen = self._seen.get(replica, ())
        n = 0
        while n < len(prompt) and prompt[n] in seen:
            n += 1
        return n

    def keep(self, replicas: Collection[Hashable]) -> None:
        """Forget all other replicas."""
        self._seen = {name: seen for name, seen in self._seen.items() if name in replicas}


def ranked(loads: dict[Any, int], known: dict[Any, int], most_more: int) -> list[list[Any]]:
    """Replicas as they are to be tried: who knows most of the prompt, then who has least to do.

    Whoever has more than `most_more` requests more than the least busy one waits for its turn
    among those who know nothing.
    """
    least = min(loads.values(), default=0)
    first = [r for r in loads if known[r] and loads[r] - least <= most_more]
    first.sort(key=lambda r: (-known[r], loads[r]))
    rest = sorted((r for r in loads if r not in first), key=lambda r: loads[r])
    return [*([r] for r in first), *([rest] if rest else [])]
