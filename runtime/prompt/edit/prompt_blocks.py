"""What a prompt is made of, and what of it is shown where there is room for less."""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit.marked_text import encode_pieces, n_tokens
from halfbyte.tokenizer import Tokenizer

Pieces = tuple[str, ...]
REQUIRED = 0


@dataclass(frozen=True, slots=True)
class Block:
    """A part of a prompt, in pieces.

    Attributes:
        header: how it begins.
        items: what it holds; each is shown whole or not at all. One that is not required and of
            which no item is shown is left out, header and all.
        footer: how it ends.
        rank: REQUIRED, or its turn when room is given away, from 1.
        order: the items' places, the most wanted one first; None: the last item first.
        what: what the items are, for the result.
        n_unwanted: how many more there were than the format takes.
    """

    header: Pieces = ()
    items: tuple[Pieces, ...] = ()
    footer: Pieces = ()
    rank: int = REQUIRED
    order: tuple[int, ...] | None = None
    what: str = ""
    n_unwanted: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """What there was room for.

    Attributes:
        tokens: its ids.
        left_out: what is not among them, in words.
    """

    tokens: list[int]
    left_out: tuple[str, ...]


def show(tokenizer: Tokenizer, blocks: Sequence[Block], room: int) -> Shown:
    """The required blocks, and of the others the items that fit `room` tokens with them."""
    kept = {i: _whole(block) for i, block in enumerate(blocks) if block.rank == REQUIRED}
    room -= len(encode_pieces(tokenizer, [piece for part in kept.values() for piece in part]))
    left_out = []
    for i in sorted(set(range(len(blocks))) - set(kept), key=lambda i: blocks[i].rank):
        block = blocks[i]
        chosen, n = _fitting(tokenizer, block, room)
        room -= n
        if chosen:
            items = [piece for at in chosen for piece in block.items[at]]
            kept[i] = (*block.header, *items, *block.footer)
        n_all = len(block.items) + block.n_unwanted
        if len(chosen) < n_all:
            left_out.append(f"{n_all - len(chosen)} of {n_all} {block.what}")
    pieces = [piece for i in sorted(kept) for piece in kept[i]]
    return Shown(encode_pieces(tokenizer, pieces), tuple(left_out))


def _whole(block: Block) -> Pieces:
    return (*block.header, *(piece for item in block.items for piece in item), *block.footer)


def _fitting(tokenizer: Tokenizer, block: Block, room: int) -> tuple[list[int], int]:
    """The places of the items that fit, the wanted ones up to one that does not; their tokens."""
    n = n_tokens(tokenizer, (*block.header, *block.footer), max(room, 0))
    chosen: list[int] = []
    for at in block.order or range(len(block.items) - 1, -1, -1):
        more = n_tokens(tokenizer, block.items[at], max(room - n, 0))
        if n + more > room:
            break
        chosen.append(at)
        n += more
    return (sorted(chosen), n) if chosen else ([], 0)
