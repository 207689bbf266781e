"""Attention's time by the type of its cache, a layer's KV head on one thread, in turns.

    python benchmarks/kv_attention.py [--positions 8192] [--turns 20] [--megabytes 128]

Heads of 64 features with 8 query heads (a 1.1B Llama's), of 64 with 3 (SmolLM2-135M's) and of 128
with 1 (a 7B's); a token, and 256. Printed: the least of all turns in microseconds, times faster
than f16, and the cache's bytes a second.

A token's attention reads as many heads one after another as make up --megabytes: more than the
CPU's last cache holds, so that they come from memory, as they do where layers follow each other. 0
leaves it at one head, which stays in a cache. 256 queries compute for longer than one head takes to
read; they always have one.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout, key_group_nbytes
from halfbyte.kernels.stages.attention import (
    NO_WINDOW,
    attention_kernel,
    query_block,
    scratch_floats,
)

TYPES = "f16", "int8", "int4"
SHAPES = ((64, 8, 1), (64, 8, 256), (64, 3, 1), (128, 1, 1), (128, 1, 256))


def main() -> None:
    """Print a line for each shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--positions", type=int, default=8192)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--megabytes", type=int, default=128)
    args = parser.parse_args()
    for d, group, n_queries in SHAPES:
        nbytes = args.megabytes * 10**6 if n_queries == 1 else 0
        caches = {kv_type: _Cache(kv_type, d, group, args.positions, nbytes) for kv_type in TYPES}
        least = dict.fromkeys(TYPES, np.inf)
        for _ in range(args.turns):
            for kv_type, cache in caches.items():
                least[kv_type] = min(least[kv_type], cache.seconds(n_queries))
        told = (
            f"{kv_type} {least[kv_type] * 1e6:.0f} us ({least['f16'] / least[kv_type]:.2f} x, "
            f"{cache.nbytes / least[kv_type] / 1e9:.1f} GB/s)"
            for kv_type, cache in caches.items()
        )
        read = f"{n_queries} queries, {caches['f16'].n_heads} heads as f16"
        print(f"head {d}, group {group}, {read}: {', '.join(told)}", flush=True)


class _Cache:
    """Pages of heads, `nbytes` of them at least, filled with numbers of ordinary size.

    Attributes:
        n_heads: how many.
        nbytes: of one head's pages.
    """

    def __init__(self, kv_type: str, d: int, group: int, n: int, nbytes: int) -> None:
        self._layout, self._group, self._n = KVLayout(1, 1, d, kv_type), group, n
        layout, rng = self._layout, np.random.default_rng(0)
        pages = np.zeros((-(-n // PAGE), layout.head_nbytes), np.uint8)
        if kv_type == "f16":
            pages.view(np.float16)[:] = rng.standard_normal(pages.size // 2).reshape(len(pages), -1)
        else:
            pages[:] = rng.integers(0, 256, pages.shape)
            scale = np.full(PAGE, 0.01, np.float16).view(np.uint8)
            for page in pages:
                keys = page[: layout.keys_nbytes].reshape(-1, key_group_nbytes(kv_type, d))
                keys[:, -32:] = scale[:32]
                page[layout.keys_nbytes : layout.keys_nbytes + 2 * PAGE] = scale
        self.n_heads, self.nbytes = max(-(-nbytes // pages.nbytes), 1), pages.nbytes
        self._pages = np.tile(pages, (self.n_heads, 1))
        places = np.arange(len(self._pages)).reshape(self.n_heads, -1)
        self._addresses = self._pages.ctypes.data + layout.head_nbytes * places
        self._scratch = np.zeros(scratch_floats(layout.value_dim) + 64, np.float32)

    def seconds(self, n_queries: int) -> float:
        """Of the last positions' attention in one head."""
        layout, group = self._layout, self._group
        call = attention_kernel(layout.kv_type, layout.head_dim, layout.value_dim, group).call
        q: NDArray[np.float32] = np.ones((n_queries + 1, group * layout.head_dim), np.float32)
        out, size = np.empty_like(q), query_block(group)
        addresses = [row.ctypes.data for row in self._addresses]
        begin = time.perf_counter()
        for pages in addresses:
            for i in range(0, n_queries, size):
                call(q[i:].ctypes.data, q.strides[0], min(size, n_queries - i),
                     self._n - n_queries + i, NO_WINDOW, pages, 0, out[i:].ctypes.data,
                     out.strides[0], self._scratch.ctypes.data, 0, 0)  # fmt: skip
        return (time.perf_counter() - begin) / self.n_heads


if __name__ == "__main__":
    main()
