"""How the chance of a guess follows what came true."""

from __future__ import annotations

from halfbyte.generation.speculation.hit_rates import HitRates


def test_a_request_learns_fast_and_the_others_slowly() -> None:
    others = HitRates()
    mine, before = HitRates(others), others.chances("context", 3, 1)[0]
    for _ in range(100):
        mine.learn("context", 3, is_hit=False)
    assert mine.chances("context", 3, 1)[0] < 0.001 < others.chances("context", 3, 1)[0] < before
    assert HitRates(others).chances("context", 3, 1) == others.chances("context", 3, 1)
    assert mine.chances("context", 5, 1) == HitRates().chances("context", 5, 1)
    assert mine.chances("lookup", 3, 1) == HitRates().chances("lookup", 3, 1)


def test_guesses_in_a_row_have_ever_longer_matches_before_them() -> None:
    rates = HitRates()
    row = rates.chances("lookup", 3, 60)
    assert row == [rates.chances("lookup", i, 1)[0] for i in range(3, 63)]
    assert row == sorted(row) and 0 < row[0] < row[-1] < 1


def test_a_rate_comes_close_to_what_it_measures() -> None:
    rates = HitRates(HitRates())
    seen = []
    for i in range(4000):
        rates.learn("pool", 9, is_hit=i % 4 != 0)
        seen.append(rates.chances("pool", 9, 1)[0])
    assert abs(sum(seen[1000:]) / 3000 - 0.75) < 0.02
