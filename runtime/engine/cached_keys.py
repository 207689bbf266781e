"""The keys of a page as floats, out of whatever the cache stores (kernels/layouts/kv_pages.py)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.page_pool import Page
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout, is_coded

F32 = NDArray[np.float32]
_Bytes = NDArray[np.uint8]


def cached_keys(page: Page | None, whole: KVLayout, slot: int) -> F32:
    """The keys of a page's slot-th layer, in its block: float32 (n_kv_heads, PAGE, head_dim).

    Zeros where that was let go.
    """
    at, layout = whole.place(slot)
    shape = layout.n_kv_heads, PAGE, layout.head_dim
    if page is None:
        return np.zeros(shape, np.float32)
    dtype = np.float16 if layout.kv_type == "f16" else np.float32
    heads = page.data[at : at + layout.n_kv_heads * layout.head_nbytes]
    heads = heads.reshape(layout.n_kv_heads, -1)[:, : layout.keys_nbytes]
    if layout.latent:
        rows = heads.view(dtype).reshape(*shape[:2], -1)
        return rows[..., : layout.head_dim].astype(np.float32)
    groups = heads.reshape(layout.n_kv_heads * PAGE // 16, -1)
    if is_coded(layout.kv_type):
        return _meant(groups, layout).reshape(shape)
    keys = groups.view(dtype).reshape(len(groups), layout.head_dim, 16).swapaxes(1, 2)
    return keys.reshape(shape).astype(np.float32)


def _meant(groups: _Bytes, layout: KVLayout) -> F32:
    """What codes mean, rotated back: float32 (groups, 16, head_dim)."""
    d, scales = layout.head_dim, groups[:, -32:].copy().view(np.float16)
    codes = groups[:, :-32]
    if layout.kv_type == "int8":
        fours = codes.reshape(len(groups), d // 4, 16, 4)
        keys = fours.astype(np.float32) - np.float32(128)
    else:
        vectors = codes.reshape(len(groups), d // 16, 3, 16, 4)
        pairs = vectors[:, :, 2]
        fours = np.stack(
            [
                vectors[:, :, i // 2] >> 4 * (i % 2) & 15 | (pairs >> 2 * i & 3) << 4
                for i in range(4)
            ],
            axis=2,
        ).reshape(len(groups), d // 4, 16, 4)
        keys = 2 * fours.astype(np.float32) - np.float32(63)
    keys = keys.swapaxes(1, 2).reshape(len(groups), 16, d) * scales[:, :, None].astype(np.float32)
    return _rotated(keys)


def _rotated(x: F32) -> F32:
    """The transform of kernels/vectors/hadamard.py, which is its own inverse."""
    d = x.shape[-1]
    block = d & -d
    turn = np.ones((1, 1), np.float32)
    while len(turn) < block:
        turn = np.block([[turn, turn], [turn, -turn]])
    blocks = x.reshape(*x.shape[:-1], -1, block) @ turn / np.sqrt(np.float32(block))
    return blocks.reshape(x.shape)
