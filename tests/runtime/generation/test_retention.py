"""What is remembered where there is no room for all: an agent's traces, and plain LRU beside."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator

import pytest

from halfbyte.engine.page_pool import PagePool
from halfbyte.generation.prefix_cache import PrefixCache
from halfbyte.generation.radix_tree import Node, Root
from halfbyte.generation.retention import value
from halfbyte.kernels.layouts.kv_pages import PAGE, KVLayout, WindowedLayout
from tests.runtime.generation.remembered import LAYOUT, PAGE_SIZE, empty

Tokens = list[int]


class LRU:
    """The same pages, of which the leaf goes that was used longest ago."""

    def __init__(self, n_pages: int) -> None:
        self.n_pages = n_pages
        self.pages: OrderedDict[tuple[int, ...], None] = OrderedDict()

    def reused(self, tokens: Tokens) -> int:
        """Tokens found; then all are remembered."""
        ends = [*range(PAGE, len(tokens), PAGE), len(tokens)]
        n = 0
        for end in reversed(ends):  # so that a leaf is older than what it grew from
            if tuple(tokens[:end]) in self.pages:
                n = max(n, min(end, len(tokens) - 1))
            self.pages[tuple(tokens[:end])] = None
            self.pages.move_to_end(tuple(tokens[:end]))
        while len(self.pages) > self.n_pages:
            self.pages.popitem(last=False)
        return n


class Remembering:
    """The prefix cache with as many pages."""

    def __init__(self, n_pages: int) -> None:
        self.pool = PagePool(LAYOUT)
        self.cache = PrefixCache(self.pool, n_pages * PAGE_SIZE)

    def reused(self, tokens: Tokens) -> int:
        """Tokens found; then all are remembered."""
        sequence = self.cache.match(tokens).sequence
        n = sequence.n_past
        sequence.reserve(len(tokens) - n)
        sequence.append(len(tokens) - n)
        self.cache.put(tokens, sequence)
        return n


def text(random_: random.Random, n: int) -> Tokens:
    return random_.choices(range(50_000), k=n)


def conversation(seed: int, n_turns: int, n_side: int, system: int = 512) -> Iterator[Tokens]:
    """Turns that each send all before again; titles and summaries between them."""
    rng = random.Random(seed)
    shared = text(random.Random(0), system)
    talk = shared + text(rng, 3000)
    for _ in range(n_turns):
        yield list(talk)
        for _ in range(n_side):
            yield shared[:64] + text(rng, rng.randrange(150, 500))
        talk += text(rng, 300)


def totals(n_pages: int, requests: list[Tokens]) -> tuple[int, int]:
    """Tokens reused, by the cache and by LRU."""
    ours, lru = Remembering(n_pages), LRU(n_pages)
    return sum(map(ours.reused, requests)), sum(map(lru.reused, requests))


def test_a_conversation_outlasts_what_is_asked_between_its_turns() -> None:
    requests = list(conversation(1, n_turns=10, n_side=20))
    ours, lru = totals(60, requests)
    known = sum(3000 + 512 + 300 * i for i in range(9))  # what each turn sends again
    assert ours > 0.95 * known
    assert ours > 2 * lru


def test_two_conversations_in_turn() -> None:
    a, b = (list(conversation(seed, n_turns=10, n_side=6)) for seed in (1, 2))
    requests = [r for pair in zip(a, b, strict=True) for r in pair]
    ours, lru = totals(100, requests)
    assert ours > 1.3 * lru


def test_with_room_enough_and_without_side_requests_it_is_like_lru() -> None:
    requests = list(conversation(1, n_turns=10, n_side=0))
    ours, lru = totals(60, requests)
    assert ours >= lru


def test_what_was_used_much_and_is_no_more_makes_room() -> None:
    """The next conversation, of the same length, is not kept out by the last one."""
    first, second = (list(conversation(seed, n_turns=15, n_side=1)) for seed in (1, 2))
    ours, lru = Remembering(70), LRU(70)
    got = [(ours.reused(tokens), lru.reused(tokens)) for tokens in [*first, *second]]
    assert sum(n for n, _ in got) > sum(n for _, n in got)
    turns = [
        n / (len(tokens) - 300)
        for (n, _), tokens in zip(got[len(first) :], second, strict=True)
        if len(tokens) > 2000
    ]
    assert min(turns[1:]) > 0.7
    assert sum(turns[1:]) / 14 > 0.95


def test_what_is_read_once_does_not_sweep_away_what_is_used_much() -> None:
    """A long system prompt used by all, then files, each longer, that never come again."""
    rng = random.Random(3)
    shared = text(rng, 3000)
    requests = [shared + text(rng, 200) for _ in range(10)]
    requests += [shared + text(rng, 200) if i % 3 == 2 else text(rng, 4000) for i in range(12)]
    ours, lru = totals(60, requests)
    assert ours > 0.99 * (9 + 4) * 3000
    assert lru < 0.8 * ours


def test_ends_of_turns_keep_their_windows() -> None:
    """Five of six layers with a window of 1,024, and room for a conversation and two windows: what
    a third less than all takes.
    """
    whole, own = KVLayout(1, 1, 16, "f16"), KVLayout(5, 1, 16, "f16")
    layout = WindowedLayout.of(
        whole, own, (False, *[True] * 5), window=1024, kept=1024 + PAGE, most=1024 + 5 * PAGE
    )
    cache = PrefixCache(PagePool(layout), layout.nbytes(49 * PAGE) + 2 * layout.window_nbytes)
    assert cache.max_nbytes < 0.7 * 49 * layout.page_nbytes
    reused = 0
    for tokens in conversation(1, n_turns=10, n_side=5):
        sequence = cache.match(tokens).sequence
        reused += sequence.n_past
        while sequence.n_past < len(tokens):
            n = min(2 * PAGE, len(tokens) - sequence.n_past)
            sequence.reserve(n)
            sequence.append(n)
            cache.put(tokens, sequence, is_likely=sequence.n_past == len(tokens))
        del sequence
    assert reused > 0.95 * sum(3000 + 512 + 300 * i for i in range(9))


def test_the_same_first_tokens_are_no_use_of_a_page() -> None:
    cache = Remembering(100).cache
    first = [1, *text(random.Random(1), 299)]
    for n in (300, 128, 64, 63, 1):
        sequence = empty(cache.pool)
        sequence.reserve(300)
        sequence.append(300)
        cache.clear()
        cache.put(first, sequence)
        cache.match([*first[:n], 5, 6])
        uses = [node.n_uses for node in cache.nodes()]
        assert uses == {300: [2, 2, 2], 128: [2, 1, 1], 64: [2, 1, 1]}.get(n, [1, 1, 1])


def leaf(n: int, *, n_uses: int = 1, n_own: int = 10) -> Node:
    root = Root(None)
    root.end = n - n_own
    node = Node(root, bytes(4 * n_own), PagePool(LAYOUT).take())
    node.n_uses = n_uses
    return node


def test_value_grows_with_uses_and_length_and_falls_with_age_and_bytes() -> None:
    plain = value(leaf(1000), 0)
    assert value(leaf(2000), 0) == pytest.approx(2 * plain)
    assert value(leaf(1000, n_own=30), 0) == pytest.approx(3 * plain)
    assert value(leaf(1000, n_uses=3), 0) == pytest.approx(2 * plain)
    assert value(leaf(1000), 1024) == pytest.approx(plain / 2)
