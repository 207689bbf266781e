"""Where the keys and values of a sequence lie: append.py writes them, the *_page.py read them.

A sequence's cache is a list of pages of PAGE positions, each holding every layer:

    page    [layer][kv head] { keys, then values }      of the layers that have any of their own

Where some layers have a window, theirs are a block of memory of their own, so that it can be let go
once no query sees it any more (WindowedLayout): a page is two blocks then.

Floats ("f16", "f32"):

    keys    [PAGE / 16][head_dim][16 positions]     16 positions are the lanes of a vector
    values  [PAGE][value_dim]                       value_dim: head_dim padded to 32

Codes ("int8", "int4") are made of heads that were rotated (vectors/hadamard.py), with one scale, a
half-precision float, for a position's key and one for its value:

    keys    [PAGE / 16] { [head_dim / 4][16 positions][4 features], scales of the 16 positions }
    values  scales [PAGE], [PAGE / 4][value_dim][4 positions]

"int8" has bytes: codes of keys are 128 more than what is meant, those of values signed. "int4" has
6 bits for keys, whose errors count most, and 4 for values; a code c of n bits means 2c + 1 - 2^n.
Nibbles and pairs of bits share bytes with others of their own position:

    keys    [PAGE / 16] { [head_dim / 16] { the low 4 bits of features 0 .. 7: [16 positions][4],
            features 4 .. 7 in the high half of a byte; of features 8 .. 15; the high 2 bits of
            0 .. 15: [16 positions][4], 4i .. in bits 2i and 2i + 1 }, scales }
    values  scales [PAGE], [PAGE / 4][value_dim / 32][16 features][4 positions], 16 features more
            in the high half of a byte

Of compressed keys ("f16", "f32"), whose first features are their values too, there is one copy:

    keys    [PAGE][head_dim, padded to 32]

Scores need the same feature of 16 keys at once, sums of values neighbouring features of one (of
four, where a dot product takes four): neither crosses lanes. Compressed keys lie as their values
want it, and only a score's sum crosses lanes at its end. What belongs to a position is never in a
byte with another's, so that threads can write any. Pages let a cache grow, fork and be cut without
copying, and attention works page by page (attention.py).
"""

from __future__ import annotations

from halfbyte.lazy_dataclass import dataclass

PAGE = 128
MAX_GROUP = 64  # query heads that may share a KV head: attention's scratch is sized for them
KV_TYPES = {"f16": 16, "f32": 32, "int8": 8, "int4": 4}  # bits of a number of a value
KEY_BITS = KV_TYPES | {"int4": 6}
MIN_CODED_DIM, MAX_CODED_DIM = 16, 512  # features that are rotated together at least; of a head


def is_coded(kv_type: str) -> bool:
    """Whether integers with scales are stored."""
    return KV_TYPES[kv_type] < 16


def padded_dim(n: int) -> int:
    """Features of a row, padded so that vectors come in pairs."""
    return -(-n // 32) * 32


def key_group_nbytes(kv_type: str, head_dim: int) -> int:
    """Bytes of 16 positions' keys."""
    return 2 * head_dim * KEY_BITS[kv_type] + 2 * 16 * is_coded(kv_type)


@dataclass(frozen=True, slots=True)
class KVLayout:
    """Sizes, in bytes, of a model's cache pages. `kv_type` is a key of KV_TYPES.

    `latent`: how many features of a key, from the first on, are its value; 0: values are stored.
    """

    n_layers: int
    n_kv_heads: int
    head_dim: int
    kv_type: str
    latent: int = 0

    @property
    def value_dim(self) -> int:
        """Features of a value, padded so that vectors come in pairs."""
        return padded_dim(self.latent or self.head_dim)

    @property
    def key_nbytes(self) -> int:
        """Bytes of a compressed key."""
        return padded_dim(self.head_dim) * KV_TYPES[self.kv_type] // 8

    @property
    def keys_nbytes(self) -> int:
        """Bytes of one head's keys in a page."""
        if self.latent:
            return PAGE * self.key_nbytes
        return PAGE // 16 * key_group_nbytes(self.kv_type, self.head_dim)

    @property
    def head_nbytes(self) -> int:
        """Bytes of one head's keys and values in a page."""
        return self.keys_nbytes + self._values_nbytes(PAGE)

    @property
    def page_nbytes(self) -> int:
        """Bytes of a page."""
        return self.n_layers * self.n_kv_heads * self.head_nbytes

    @property
    def runs(self) -> tuple[KVLayout, ...]:
        """Layers that are alike, one behind the other: all of them."""
        return (self,)

    @property
    def blocks(self) -> tuple[KVLayout, ...]:
        """The blocks of memory that a page is made of: one, of all layers."""
        return (self,)

    @property
    def window_nbytes(self) -> int:
        """Bytes of what is kept of a sequence in layers with a window, beside the others'."""
        return 0

    def block_of(self, slot: int) -> int:
        """Which of them has a layer, the slot-th that a page holds."""
        return 0

    def place(self, slot: int) -> tuple[int, KVLayout]:
        """Where a layer begins in its block, the slot-th of a page, and how its heads lie."""
        at = 0
        for run in self.runs:
            if slot < run.n_layers:
                return at + slot * run.n_kv_heads * run.head_nbytes, run
            at, slot = at + run.page_nbytes, slot - run.n_layers
        raise IndexError(f"a page of {self.n_layers} layers has none of number {slot}")

    def first_positions(self, n: int) -> tuple[slice, slice]:
        """Where a head's keys and values of a page's first n positions lie, in bytes.

        Keys come in vectors, and where they are codes values by fours: those of some positions
        more are among them, and the scales of all.
        """
        keys = -(-n // 16) * key_group_nbytes(self.kv_type, self.head_dim)
        if self.latent:
            keys = n * self.key_nbytes
        begin = self.keys_nbytes
        return slice(0, keys), slice(begin, begin + self._values_nbytes(n))

    def _values_nbytes(self, n: int) -> int:
        """Bytes from the first to the last of n positions' values."""
        if self.latent:
            return 0
        coded = is_coded(self.kv_type)
        n = -(-n // 4) * 4 if coded else n
        return 2 * PAGE * coded + n * self.value_dim * KV_TYPES[self.kv_type] // 8

    def nbytes(self, n_positions: int) -> int:
        """Bytes of the pages that hold so many positions of a sequence."""
        return -(-n_positions // PAGE) * self.page_nbytes

    def n_positions(self, nbytes: int) -> int:
        """How many positions of a sequence so many bytes hold: whole pages."""
        return max(nbytes, 0) // self.page_nbytes * PAGE


@dataclass(frozen=True, slots=True)
class MixedLayout(KVLayout):
    """A page whose layers differ: `parts` of those that are alike, one behind the other.

    `n_kv_heads` and `head_dim` are the most of any layer.
    """

    parts: tuple[KVLayout, ...] = ()

    @classmethod
    def of(cls, parts: tuple[KVLayout, ...]) -> MixedLayout:
        """That of some parts, whose numbers are of one type."""
        return cls(
            sum(part.n_layers for part in parts), max(part.n_kv_heads for part in parts),
            max(part.head_dim for part in parts), parts[0].kv_type, parts=parts,
        )  # fmt: skip

    @property
    def runs(self) -> tuple[KVLayout, ...]:
        """See KVLayout."""
        return self.parts

    @property
    def page_nbytes(self) -> int:
        """See KVLayout."""
        return sum(part.page_nbytes for part in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedLayout(KVLayout):
    """A page of two blocks: `whole`, of layers that see all before them, and `windowed`.

    `n_kv_heads` and `head_dim` are the most of any layer.

    Attributes:
        slides: whether each layer has a window, slot by slot.
        window: positions that a query sees there, its own included.
        kept: the last positions of a sequence that are kept there: those of a window, and as many
            before them as it may be cut back.
        most: the most that are there at a time, while a step adds some.
        n_sinks: first positions that stay there, and are seen from everywhere (attention_sinks.py);
            they lie in the first page.
    """

    whole: KVLayout
    windowed: KVLayout
    slides: tuple[bool, ...]
    window: int
    kept: int
    most: int
    n_sinks: int = 0

    @classmethod
    def of(
        cls, whole: KVLayout, windowed: KVLayout, slides: tuple[bool, ...], *,
        window: int, kept: int, most: int, n_sinks: int = 0,
    ) -> WindowedLayout:  # fmt: skip
        """That of two blocks, whose numbers are of one type."""
        both = (whole, windowed)
        return cls(
            len(slides), max(b.n_kv_heads for b in both), max(b.head_dim for b in both),
            windowed.kv_type, whole=whole, windowed=windowed, slides=slides,
            window=window, kept=kept, most=most, n_sinks=n_sinks,
        )  # fmt: skip

    @property
    def runs(self) -> tuple[KVLayout, ...]:
        """See KVLayout."""
        return (*self.whole.runs, *self.windowed.runs)

    @property
    def blocks(self) -> tuple[KVLayout, ...]:
        """See KVLayout."""
        return (self.whole, self.windowed)

    @property
    def page_nbytes(self) -> int:
        """See KVLayout."""
        return self.whole.page_nbytes + self.windowed.page_nbytes

    @property
    def window_nbytes(self) -> int:
        """See KVLayout."""
        return self.windowed.nbytes(self.kept) + self.n_stay * self.windowed.page_nbytes

    @property
    def n_stay(self) -> int:
        """The first pages that are never let go."""
        return -(-self.n_sinks // PAGE)

    def block_of(self, slot: int) -> int:
        """See KVLayout."""
        return int(self.slides[slot])

    def place(self, slot: int) -> tuple[int, KVLayout]:
        """See KVLayout."""
        if not 0 <= slot < len(self.slides):
            raise IndexError(f"a page of {self.n_layers} layers has none of number {slot}")
        block = self.block_of(slot)
        return self.blocks[block].place(self.slides[:slot].count(bool(block)))

    def first_seen(self, position: int) -> int:
        """The first page that a query sees anything of in layers with a window, sinks aside."""
        return max(position + 1 - self.window, 0) // PAGE

    def first_kept(self, n_past: int) -> int:
        """The first page that a sequence of so many positions keeps there, sinks aside."""
        return max(n_past + 1 - self.kept, 0) // PAGE

    def nbytes(self, n_positions: int) -> int:
        """See KVLayout: of layers with a window no more than the most that is kept."""
        windowed = self.windowed.nbytes(min(n_positions, self.most))
        return self.whole.nbytes(n_positions) + windowed

    def n_positions(self, nbytes: int) -> int:
        """See KVLayout."""
        n = max(nbytes, 0) // self.page_nbytes * PAGE
        if n < self.most:
            return n
        left = nbytes - self.windowed.nbytes(self.most)
        return left // max(self.whole.page_nbytes, 1) * PAGE  # 0: all have a window, and any fit
