"""The log of a sequence's tokens."""

from __future__ import annotations

from halfbyte.generation.sampling.token_log import TokenLog


def test_it_grows_and_shrinks() -> None:
    log = TokenLog([1, 2])
    for token in range(100, 300):
        log.append(token)
    assert log.last(3).tolist() == [297, 298, 299]
    assert log.last(None).tolist() == [1, 2, *range(100, 300)]
    log.drop(199)
    log.append(7)
    assert log.last(500).tolist() == [1, 2, 100, 7]
    assert log.last(0).tolist() == []
