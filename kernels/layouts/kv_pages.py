"""Where the keys and values of a sequence lie: append.py writes them, the *_page.py read them.

A sequence's cache is a list of pages of PAGE positions, each holding every layer:

    page    [layer][kv head] { keys, then values }

Floats ("f16", "f32"):

    keys    [PAGE / 16][head_dim][16 positions]     16 positions are the lanes of a vector
    values  [PAGE][value_dim]                       value_dim: head_dim padded to 32

Codes ("int8", "int4") are made of heads that were rotated (vectors/hadamard.py), scales and minima
are half-precision floats:

    keys    [PAGE / 16] { [head_dim / 4][16 positions][4 features], scales of the 16 positions }
    values  scales [PAGE], [PAGE / 4][value_dim][4 positions]

with key codes of 8 bits being 128 more than what they stand for, those of values signed. Codes of 4
bits stand for minimum + scale * code, where keys have a scale and a minimum for 32 features (16,
where that does not divide a head), and two lie in a byte:

    keys    [PAGE / 16] { [head_dim / 8][16 positions][4 bytes: features 8i .., in the high 4 bits
            8i + 4 ..], for each block [scales of the 16 positions], [minima] }
    values  scales [PAGE], minima [PAGE], [PAGE / 4][value_dim / 32][16 lanes][4 positions], lane i
            with feature 32j + i and, in the high 4 bits, 32j + 16 + i

Scores need the same feature of 16 keys at once, sums of values neighbouring features of one (of
four, where a dot product takes four): neither crosses lanes. What belongs to a position is never
in a byte with another's, so that threads can write any. Pages let a cache grow, fork and be cut
without copying, and attention works page by page (attention.py).
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE = 128
MAX_GROUP = 64  # query heads that may share a KV head: attention's scratch is sized for them
KV_TYPES = {"f16": 16, "f32": 32, "int8": 8, "int4": 4}  # bits of a number
MIN_CODED_DIM, MAX_CODED_DIM = 16, 512  # features that are rotated together at least; of a head


def is_coded(kv_type: str) -> bool:
    """Whether integers with scales are stored."""
    return KV_TYPES[kv_type] < 16


def key_block(head_dim: int) -> int:
    """Features of a key that share a scale where codes have 4 bits."""
    return 32 if head_dim % 32 == 0 else 16


def key_group_nbytes(kv_type: str, head_dim: int) -> int:
    """Bytes of 16 positions' keys."""
    nbytes = 16 * head_dim * KV_TYPES[kv_type] // 8
    if kv_type == "int8":
        nbytes += 32
    elif kv_type == "int4":
        nbytes += head_dim // key_block(head_dim) * 64
    return nbytes


def value_head_nbytes(kv_type: str) -> int:
    """Bytes of a page's values' scales and minima."""
    return {"int8": 2 * PAGE, "int4": 4 * PAGE}.get(kv_type, 0)


@dataclass(frozen=True, slots=True)
class KVLayout:
    """Sizes, in bytes, of a model's cache pages. `kv_type` is a key of KV_TYPES."""

    n_layers: int
    n_kv_heads: int
    head_dim: int
    kv_type: str

    @property
    def value_dim(self) -> int:
        """Features of a value, padded so that vectors come in pairs."""
        return -(-self.head_dim // 32) * 32

    @property
    def keys_nbytes(self) -> int:
        """Bytes of one head's keys in a page."""
        return PAGE // 16 * key_group_nbytes(self.kv_type, self.head_dim)

    @property
    def head_nbytes(self) -> int:
        """Bytes of one head's keys and values in a page."""
        codes = PAGE * self.value_dim * KV_TYPES[self.kv_type] // 8
        return self.keys_nbytes + value_head_nbytes(self.kv_type) + codes

    @property
    def page_nbytes(self) -> int:
        """Bytes of a page."""
        return self.n_layers * self.n_kv_heads * self.head_nbytes

    def first_positions(self, n: int) -> tuple[slice, slice]:
        """Where a head's keys and values of a page's first n positions lie, in bytes.

        Keys come in vectors, and where they are codes values by fours: those of some positions
        more are among them, and the scales of all.
        """
        keys = -(-n // 16) * key_group_nbytes(self.kv_type, self.head_dim)
        n_values = -(-n // 4) * 4 if is_coded(self.kv_type) else n
        values = n_values * self.value_dim * KV_TYPES[self.kv_type] // 8
        begin = self.keys_nbytes
        return slice(0, keys), slice(begin, begin + value_head_nbytes(self.kv_type) + values)

    def nbytes(self, n_positions: int) -> int:
        """Bytes of the pages that hold so many positions."""
        return -(-n_positions // PAGE) * self.page_nbytes
