"""Sizes of cache pages."""

from __future__ import annotations

import pytest

from halfbyte.kernels.layouts.kv_pages import (
    KV_TYPES,
    PAGE,
    KVLayout,
    MixedLayout,
    WindowedLayout,
)


@pytest.mark.parametrize("kv_type, nbytes", [("f16", 2), ("f32", 4)])
@pytest.mark.parametrize("head_dim, value_dim", [(16, 32), (18, 32), (32, 32), (80, 96)])
def test_sizes(kv_type: str, nbytes: int, head_dim: int, value_dim: int) -> None:
    layout = KVLayout(n_layers=3, n_kv_heads=5, head_dim=head_dim, kv_type=kv_type)
    assert 8 * nbytes == KV_TYPES[kv_type]
    assert layout.value_dim == value_dim
    assert layout.head_nbytes == PAGE * (head_dim + value_dim) * nbytes
    assert layout.page_nbytes == 15 * layout.head_nbytes


def test_memory_is_counted_in_whole_pages() -> None:
    layout = KVLayout(n_layers=2, n_kv_heads=1, head_dim=64, kv_type="f16")
    pages = [layout.nbytes(n) // layout.page_nbytes for n in (0, 1, PAGE, PAGE + 1, 4096)]
    assert pages == [0, 1, 1, 2, 32]


def test_a_page_of_positions_is_whole_vectors() -> None:
    assert PAGE % 32 == 0  # attention takes scores in pairs of 16 keys


@pytest.mark.parametrize("head_dim, value_dim", [(16, 32), (48, 64), (64, 64), (128, 128)])
def test_codes_have_a_scale_for_a_position(head_dim: int, value_dim: int) -> None:
    int8, int4 = (KVLayout(1, 1, head_dim, kv_type) for kv_type in ("int8", "int4"))
    assert int8.head_nbytes == PAGE * (head_dim + value_dim + 4)
    assert int4.head_nbytes == PAGE * (head_dim * 6 + value_dim * 4 + 32) // 8


@pytest.mark.parametrize(
    "kv_type, keys, values", [("int8", 16 * 66, 4 * 64), ("int4", 16 * 50, 128)]
)
def test_first_positions_of_codes(kv_type: str, keys: int, values: int) -> None:
    """Keys by sixteens, each with its scales; all scales of values, and values by fours."""
    layout = KVLayout(1, 1, 64, kv_type)
    first, second = layout.first_positions(17)
    assert first == slice(0, 2 * keys)
    assert second == slice(8 * keys, 8 * keys + 256 + 5 * values)
    assert layout.first_positions(PAGE)[1].stop == layout.head_nbytes


def test_layers_that_differ_lie_one_behind_the_other() -> None:
    small, large = KVLayout(2, 4, 16, "f16"), KVLayout(1, 1, 48, "f16")
    layout = MixedLayout.of((small, large, small))
    assert (layout.n_layers, layout.n_kv_heads, layout.head_dim) == (5, 4, 48)
    assert layout.page_nbytes == 2 * small.page_nbytes + large.page_nbytes
    half, begin = small.page_nbytes // 2, small.page_nbytes + large.page_nbytes
    places = [layout.place(i) for i in range(5)]
    assert [at for at, _ in places] == [0, half, 2 * half, begin, begin + half]
    assert [run for _, run in places] == [small, small, large, small, small]
    with pytest.raises(IndexError, match="5 layers"):
        layout.place(5)
    assert small.place(1) == (half, small) and small.runs == (small,)


def windowed(n_whole: int = 2) -> WindowedLayout:
    """Two layers of three with a window of 200, of other heads."""
    whole, own = KVLayout(n_whole, 1, 48, "f16"), KVLayout(2, 4, 16, "f16")
    slides = (True, *([False] * n_whole), True)
    return WindowedLayout.of(whole, own, slides, window=200, kept=328, most=6 * PAGE)


def test_layers_with_a_window_lie_in_a_block_of_their_own() -> None:
    layout = windowed()
    whole, own = layout.blocks
    assert (layout.n_layers, layout.n_kv_heads, layout.head_dim) == (4, 4, 48)
    assert layout.page_nbytes == whole.page_nbytes + own.page_nbytes
    assert layout.runs == (whole, own)
    assert [layout.block_of(i) for i in range(4)] == [1, 0, 0, 1]
    assert [layout.place(i) for i in range(4)] == [
        (0, own), (0, whole), (whole.page_nbytes // 2, whole), (own.page_nbytes // 2, own),
    ]  # fmt: skip
    for slot in (-1, 4):
        with pytest.raises(IndexError, match="4 layers"):
            layout.place(slot)
    assert (whole.blocks, whole.block_of(1), whole.window_nbytes) == ((whole,), 0, 0)
    assert layout.window_nbytes == 3 * own.page_nbytes


def test_what_a_query_sees_and_what_is_kept() -> None:
    layout = windowed()
    assert [layout.first_seen(n) for n in (0, 326, 327, 454, 455)] == [0, 0, 1, 1, 2]
    assert [layout.first_kept(n) for n in (0, 454, 455, 583)] == [0, 0, 1, 2]


@pytest.mark.parametrize("layout", [KVLayout(2, 1, 64, "f16"), windowed(), windowed(1)])
def test_as_many_positions_fit_as_take_no_more(layout: KVLayout) -> None:
    for n in range(-1, 12):
        for more in (-1, 0, 1, layout.page_nbytes - 1):
            nbytes = n * layout.page_nbytes + more
            found = layout.n_positions(nbytes)
            assert found % PAGE == 0 and layout.nbytes(found) <= max(nbytes, 0)
            assert layout.nbytes(found + PAGE) > nbytes


def test_what_lies_behind_a_window_takes_no_memory() -> None:
    layout = windowed()
    whole, own = layout.blocks
    assert layout.nbytes(6 * PAGE) == 6 * layout.page_nbytes
    assert layout.nbytes(100 * PAGE) == 100 * whole.page_nbytes + 6 * own.page_nbytes
    only = windowed(0)
    assert only.nbytes(100 * PAGE) == only.nbytes(6 * PAGE) == 6 * own.page_nbytes
