"""Pages are dealt out where whole heads would keep some threads waiting, and only there."""

from __future__ import annotations

from functools import partial

import pytest
import small_models as small

from halfbyte.engine import page_dealing
from halfbyte.engine.page_dealing import Block, Dealing, SeenPages, dealing
from halfbyte.families.attention_window import with_window
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.kernels.stages.attention import NO_WINDOW, first_page

LONG, SHORT = 20 * PAGE, 10


def dealt(
    *queries: tuple[int, int], n_heads: int = 3, n_threads: int = 2, window: int = NO_WINDOW
) -> Dealing | None:
    """Blocks of so many queries from a position on each."""
    blocks: list[Block] = [(0, n, position, 0, 0) for n, position in queries]
    first = partial(first_page, window=window)
    return dealing(blocks, n_heads, n_threads, first, most_splits=6, partial_nbytes=100)


def test_few_heads_are_dealt_in_parts() -> None:
    assert dealt((1, LONG)) == Dealing(6, 3 * 100 * 21, [0])
    assert dealt((12, LONG)) == Dealing(6, 12 * 3 * 100 * 21, [0])
    assert dealt((1, LONG), n_heads=8) is not None  # costs next to nothing


@pytest.mark.parametrize("n_heads, n_threads", [(2, 2), (4, 2), (8, 2), (3, 3), (3, 1), (11, 2)])
def test_several_tokens_heads_that_are_even_are_taken_whole(n_heads: int, n_threads: int) -> None:
    assert dealt((12, LONG), n_heads=n_heads, n_threads=n_threads) is None


def test_what_counts_is_what_each_sequence_has() -> None:
    assert dealt((1, LONG), (1, LONG)) is None  # six equal heads
    both = dealt((1, LONG), (1, SHORT))
    assert both is not None and both.places == [0, 3 * 100 * 21]


def test_few_pages_are_not_dealt() -> None:
    assert dealt((1, 2 * PAGE - 1)) is None
    assert dealt((1, 2 * PAGE)) is not None
    assert dealt((2, 2 * PAGE - 1)) is not None  # the last one sees a third
    assert dealt((1, LONG), window=PAGE) is None


def test_pages_before_the_window_give_nothing() -> None:
    shifted = dealt((2, LONG), window=4 * PAGE)
    assert shifted is not None and shifted.nbytes == 2 * 3 * 100 * 5
    assert shifted.places == [-16 * 2 * 3 * 100] and shifted.n_splits == 5


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_dealing, "MAX_NBYTES", 3 * 100 * 21)
    assert dealt((1, LONG)) is not None
    assert dealt((2, LONG)) is None


def test_blocks_end_where_windows_begin() -> None:
    shape = small.SHAPES["Q8_0"].config()  # of which 32 queries are taken together
    plain, own = SeenPages(shape), SeenPages(with_window(shape, 200, 4))
    assert list(plain.blocks(190, 70)) == [(0, 32), (32, 32), (64, 6)]
    assert list(own.blocks(190, 70)) == [(0, 14), (14, 32), (46, 24)]
    assert list(own.blocks(203, 2)) == [(0, 1), (1, 1)]
    assert list(own.blocks(204, 33)) == [(0, 32), (32, 1)]
    assert [plain.first_page(n) for n in (0, 1000)] == [0, 0]
    assert [own.first_page(n) for n in (0, 203, 204, 326, 327)] == [0, 0, -1, -1, 0]
