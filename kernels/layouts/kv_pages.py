"""Where the keys and values of a sequence lie: rope.py writes them, attention_page.py reads them.

A sequence's cache is a list of pages of PAGE positions, each holding every layer:

    page    [layer][kv head] { keys, then values }
    keys    [PAGE / 16][head_dim][16 positions]     16 positions are the lanes of a vector
    values  [PAGE][value_dim]                       value_dim: head_dim padded to 32

Scores need the same feature of 16 keys at once, sums of values need neighbouring features of one:
neither crosses lanes. Pages let a cache grow, fork and be cut without copying, and attention works
page by page (attention.py). Elements are half-precision floats ("f16") or floats ("f32").
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE = 128
MAX_GROUP = 64  # query heads that may share a KV head: attention's scratch is sized for them
KV_TYPES = {"f16": 2, "f32": 4}


@dataclass(frozen=True, slots=True)
class KVLayout:
    """Sizes, in bytes, of a model's cache pages. `kv_type` is a key of KV_TYPES."""

    n_layers: int
    n_kv_heads: int
    head_dim: int
    kv_type: str

    @property
    def element_nbytes(self) -> int:
        """Bytes of one number."""
        return KV_TYPES[self.kv_type]

    @property
    def value_dim(self) -> int:
        """Features of a value, padded so that vectors come in pairs."""
        return -(-self.head_dim // 32) * 32

    @property
    def head_nbytes(self) -> int:
        """Bytes of one head's keys and values in a page."""
        return PAGE * (self.head_dim + self.value_dim) * self.element_nbytes

    @property
    def page_nbytes(self) -> int:
        """Bytes of a page."""
        return self.n_layers * self.n_kv_heads * self.head_nbytes

    def first_positions(self, n: int) -> tuple[slice, slice]:
        """Where a head's keys and values of a page's first n positions lie, in bytes.

        Keys come in vectors: those of up to 15 positions more are among them.
        """
        keys, values = -(-n // 16) * 16 * self.head_dim, n * self.value_dim
        begin = PAGE * self.head_dim
        size = self.element_nbytes
        return slice(0, keys * size), slice(begin * size, (begin + values) * size)

    def nbytes(self, n_positions: int) -> int:
        """Bytes of the pages that hold so many positions."""
        return -(-n_positions // PAGE) * self.page_nbytes
