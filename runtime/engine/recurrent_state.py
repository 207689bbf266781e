"""What the recurrent layers of a model keep of one sequence: a block, and guesses behind it.

A block never changes. A step reads the one of the position before it and writes a new one, so
snapshots and forks are references, and a step that fails leaves everything as it was. Of tokens
that are guesses a step keeps what it takes to do them again (a journal), and its block is that
before them: as many of them as were right are done once more by the step that follows, which takes
less than blocks for each would.
"""

from __future__ import annotations

from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.state_pool import Block, StatePool
from halfbyte.errors import EngineError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.process_bound import ProcessBound


@dataclass(frozen=True, slots=True)
class Ahead:
    """What a step is to write: the block, and the journal of its last `n_guessed` tokens."""

    block: Block
    journal: Block | None
    n_guessed: int


class RecurrentState(ProcessBound):
    """The states of all recurrent layers after the first `n_past` positions of a sequence.

    Attributes:
        block: those before the last n_kept positions; None: nothing was seen before them.
        journal: what these n_kept positions take; None where there are none.
        n_kept: guesses that the block does not have yet.
    """

    def __init__(
        self, pages: PagePool, n_past: int = 0, block: Block | None = None,
        journal: Block | None = None, n_kept: int = 0,
    ) -> None:  # fmt: skip
        self.n_past, self.block, self.n_kept = n_past, block, n_kept
        self.journal = journal if n_kept else None
        self._pages = pages
        self._ahead: Ahead | None = None

    @property
    def first_cut(self) -> int:
        """The earliest position that it can be cut back to, but for the beginning."""
        return self.n_past - self.n_kept

    @property
    def nbytes(self) -> int:
        """Bytes held, which others may hold too."""
        return sum(part.nbytes for part in (self.block, self.journal) if part is not None)

    @property
    def ahead(self) -> Ahead:
        """What the next step writes, once it is reserved."""
        if self._ahead is None:
            raise TypeError("a step of a sequence whose memory is not reserved")
        return self._ahead

    def reserve(self, n_positions: int, n_guessed: int = 0) -> None:
        """Have a block to write, and a journal of the last guesses; raises as PagePool.take."""
        pool, old = self._pool, self._ahead
        if old is not None and old.n_guessed == n_guessed:
            return
        # What a step that was given up has written may be written again. A journal that is not to
        # be had leaves what a step without guesses takes.
        block = pool.block() if old is None else old.block
        self._ahead, old = Ahead(block, None, 0), None
        if n_guessed:
            self._ahead = Ahead(block, pool.journal(n_guessed), n_guessed)

    def advanced(self, n_new: int) -> RecurrentState:
        """The state behind what a step has done, for the same sequence."""
        made = self.ahead
        n_past = self.n_past + n_new
        return RecurrentState(self._pages, n_past, made.block, made.journal, made.n_guessed)

    def cut(self, n_positions: int) -> RecurrentState:
        """The state after the first positions, from first_cut on, or none of them.

        Raises:
            EngineError: it is not to be had any more.
        """
        if n_positions == 0:
            return RecurrentState(self._pages)
        if not self.first_cut <= n_positions <= self.n_past:
            raise EngineError(
                f"states of recurrent layers cannot be had after {n_positions} positions: they are "
                f"there after {self.first_cut} to {self.n_past}",
                hint="take a snapshot where you want to return to",
            )
        n_kept = n_positions - self.first_cut
        return RecurrentState(self._pages, n_positions, self.block, self.journal, n_kept)

    def fork(self, n_positions: int) -> RecurrentState:
        """The same for another sequence, which shares what neither changes."""
        return self.cut(n_positions)

    @property
    def _pool(self) -> StatePool:
        if self._pages.states is None:
            raise TypeError("states of a model without recurrent layers")
        return self._pages.states
