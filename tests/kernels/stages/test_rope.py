"""Rotation and the cache's layout, against float64 and the layout's description."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest

from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout
from halfbyte.kernels.stages.rope import rope_append_kernel, rope_table

Call = Callable[..., None]
DTYPES = {"f16": np.float16, "f32": np.float32}


def _frequencies(d: int, theta: float) -> np.ndarray:
    return theta ** (-np.arange(0, d, 2) / d)


@pytest.mark.parametrize("theta", [1e4, 1e6])
@pytest.mark.parametrize("d", [16, 18, 128])
def test_table_is_rounded_once(theta: float, d: int) -> None:
    got = rope_table(0, 3000, _frequencies(d, theta)).reshape(3000, d // 2, 2)
    for position, pair in [(0, 0), (1, 0), (2999, 0), (2999, 1), (77, d // 2 - 1)]:
        angle = position * theta ** (-2 * pair / d)
        expected = np.float32([np.cos(angle), np.sin(angle)])
        assert np.abs(got[position, pair] - expected).max() <= 2.0**-24
    assert got.dtype == np.float32


def test_a_row_of_the_table_depends_on_its_position_only() -> None:
    whole = rope_table(0, 300, _frequencies(64, 1e6))
    parts = [rope_table(i, i + 100, _frequencies(64, 1e6)) for i in range(0, 300, 100)]
    assert (np.concatenate(parts) == whole).all()


def _page(layout: KVLayout) -> np.ndarray:
    return np.zeros(layout.page_nbytes, np.uint8)


def _split(page: np.ndarray, layout: KVLayout, head: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys (PAGE, D) and values (PAGE, value_dim) of a head."""
    d, dv = layout.head_dim, layout.value_dim
    one = page.reshape(-1, layout.head_nbytes)[head].view(DTYPES[layout.kv_type])
    keys = one[: PAGE * d].reshape(PAGE // 16, d, 16).transpose(0, 2, 1).reshape(PAGE, d)
    return keys, one[PAGE * d :].reshape(PAGE, dv)


@pytest.mark.parametrize("kv_type", DTYPES)
@pytest.mark.parametrize(
    "d, group, rotated", [(16, 1, 16), (18, 2, 18), (64, 3, 64), (80, 1, 60), (128, 8, 0)]
)
def test_rotates_and_appends(
    call: Call, naive: ModuleType, kv_type: str, d: int, group: int, rotated: int
) -> None:
    layout, theta = KVLayout(1, 2, d, kv_type), 1e4
    rng = np.random.default_rng(d)
    page, head = _page(layout), 1
    table = rope_table(0, 3 * PAGE, _frequencies(rotated, theta)) if rotated else np.zeros((512, 1))
    keys, values = np.zeros((PAGE, d)), np.zeros((PAGE, layout.value_dim))
    for position in (0, 15, 16, PAGE - 1, PAGE + 5, 2 * PAGE + 77):
        q, k, v = (rng.standard_normal((n, d)).astype(np.float32) for n in (group, 1, 1))
        exact_q, exact_k = (a.astype(np.float64) for a in (q, k))
        for a in (exact_q, exact_k) if rotated else ():
            part = a[None, :, :rotated]
            a[:, :rotated] = naive.rotate(part, np.array([position]), theta)[0]
        size = [np.hypot(a[:, 0::2], a[:, 1::2]).repeat(2, axis=1) for a in (q, k)]
        kernel = rope_append_kernel(kv_type, d, layout.value_dim, group)
        at = page.ctypes.data + head * layout.head_nbytes
        call(kernel, q, k, v, table[position : position + 1], rotated, position, at)
        # Two rounded products of a rounded table, one rounded sum.
        assert (np.abs(q - exact_q) <= size[0] * 4 * 2.0**-24).all()
        assert (np.abs(k - exact_k) <= size[1] * 4 * 2.0**-24).all()
        slot = position % PAGE
        keys[slot] = k.astype(DTYPES[kv_type])
        values[slot, :d] = v.astype(DTYPES[kv_type])
    got_keys, got_values = _split(page, layout, head)
    assert (got_keys == keys).all() and (got_values == values).all()
    assert not page[: layout.head_nbytes].any()  # the other head


@pytest.mark.parametrize("kv_type, largest", [("f16", 65504), ("f32", 3e38)])
def test_the_cache_stays_finite(call: Call, kv_type: str, largest: float) -> None:
    layout = KVLayout(1, 1, 16, kv_type)
    page, q = _page(layout), np.zeros(16, np.float32)
    k = np.zeros(16, np.float32)
    v = np.resize(np.float32([np.inf, -np.inf, np.nan, 3.2e38, -3.2e38, 65519, 1]), 16)
    k[0::2] = v[:8]
    table = rope_table(0, 1, _frequencies(16, 1e4))  # position 0 leaves all as it is
    call(rope_append_kernel(kv_type, 16, 32, 1), q, k, v, table, 16, 0, page)
    keys, values = _split(page, layout, 0)
    limit = np.float32(largest)
    expected = np.clip(np.where(np.isnan(v), limit, v), -limit, limit)
    assert (values[0, :16] == expected.astype(DTYPES[kv_type])).all()
    assert np.isfinite(keys).all() and np.abs(keys[0]).max() == limit
