"""Where a prompt leaves a remembered one only to come back: a date, a name, a header.

Keys and values behind such a place are lost, since each depends on all tokens before it. Whoever
writes the prompt can often move it to the end, once told.
"""

from __future__ import annotations

from halfbyte.generation.radix_tree import TOKEN_NBYTES, Branch, Node, n_common
from halfbyte.lazy_dataclass import dataclass

_MAX_DIFFERENT = 64  # tokens that a short difference has at most
_MIN_AGREED = 32  # tokens that are no accident
_MAX_COMPARED = 8  # remembered prompts


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A short difference between a prompt and a remembered one.

    Attributes:
        position: of the first token that differs.
        n_different: tokens of the prompt that stand in the place of others.
        n_agreed: tokens behind them that are the same again, at least.
        n_remembered: tokens of the remembered one.
    """

    position: int
    n_different: int
    n_agreed: int
    n_remembered: int

    def __str__(self) -> str:
        """In words."""
        return (
            f"the prompt differs from a remembered one of {self.n_remembered} tokens at position "
            f"{self.position}, for {self.n_different} tokens, and then agrees for {self.n_agreed}"
        )


def find_mismatch(branch: Branch, tokens: bytes, n_agreed: int) -> Mismatch | None:
    """Whether tokens come back to a sequence of the tree that they leave.

    Args:
        branch: the last one with all of whose tokens they agree.
        tokens: all of them.
        n_agreed: the position where they leave.
    """
    rest = tokens[n_agreed * TOKEN_NBYTES :]
    if len(rest) < _MIN_AGREED * TOKEN_NBYTES:
        return None
    found: list[Mismatch] = []
    for child in _most_like(branch, tokens[branch.end * TOKEN_NBYTES :]):
        remembered, n_remembered = _latest_way(child)
        begin = (n_agreed - branch.end) * TOKEN_NBYTES
        if back := _way_back(rest, remembered[begin:]):
            found.append(Mismatch(n_agreed, *back, n_remembered))
    return max(found, key=lambda one: one.n_agreed, default=None)


def _most_like(branch: Branch, rest: bytes) -> list[Node]:
    """The children that share the most first tokens, those used last."""
    _, n = branch.nearest(rest)
    begin = rest[: n * TOKEN_NBYTES]
    alike = (child for child in branch.children.values() if child.tokens.startswith(begin))
    return sorted(alike, key=lambda child: -child.used_at)[:_MAX_COMPARED]


def _latest_way(node: Node) -> tuple[bytes, int]:
    """Tokens from a node on to a leaf, and the leaf's end."""
    parts = [node.tokens]
    while node.children:
        node = max(node.children.values(), key=lambda child: child.used_at)
        parts.append(node.tokens)
    return b"".join(parts), node.end


def _way_back(rest: bytes, remembered: bytes) -> tuple[int, int] | None:
    """How many tokens of `rest` to leave out so that it goes on as `remembered` does somewhere
    near its beginning, and for how many tokens.
    """
    anchor = _MIN_AGREED * TOKEN_NBYTES
    near = remembered[: _MAX_DIFFERENT * TOKEN_NBYTES + anchor]
    for n in range(_MAX_DIFFERENT + 1):
        begin = n * TOKEN_NBYTES
        wanted = rest[begin : begin + anchor]
        if len(wanted) < anchor:
            return None
        at = near.find(wanted)
        while at % TOKEN_NBYTES and at > 0:
            at = near.find(wanted, at + 1)
        if at >= 0:
            return n, n_common(rest[begin:], remembered[at:])
    return None
