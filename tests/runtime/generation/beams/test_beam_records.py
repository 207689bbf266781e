"""What is recorded of branches: of those that go on, and of none that nobody asks about."""

from __future__ import annotations

import numpy as np

from halfbyte.generation.beams.beam_records import BeamRecords
from halfbyte.generation.probabilities import Probabilities
from halfbyte.generation.recorder import Recording


def row(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_branches_share_what_stands_above_them() -> None:
    records = BeamRecords(Recording.of(Probabilities(logprobs=1)))
    records.take(row(-1, -2, -3), row(9, 9, 9))
    records.follow([()], [(0,), (1,)])
    records.take(row(-4, -5, -6), row(9, 9, 9))
    records.take(row(-7, -8, -0.5), row(9, 9, 9))
    records.follow([(0,), (1,)], [(1, 2), (1, 0), (0,)])
    assert [one.logprob for one in records.of((1, 2))] == [-2, -0.5]
    assert [one.logprob for one in records.of((1, 0))] == [-2, -7]
    assert [one.top for one in records.of((1, 0))] == [((0, -1.0),), ((2, -0.5),)]
    assert [one.logprob for one in records.of((0,))] == [-1]
    assert records.of((1,)) == [] and len(records._links) == 3


def test_what_counts_in_the_search_is_recorded_instead() -> None:
    records = BeamRecords(Recording.of(Probabilities(logprobs=0, logprobs_of="sampler")))
    records.take(row(-1, -2), row(-3, -np.inf))
    records.follow([()], [(0,)])
    assert [one.logprob for one in records.of((0,))] == [-3]


def test_nothing_is_kept_where_nothing_is_asked() -> None:
    for asked in (None, Recording.of(Probabilities(prompt_logprobs=2))):
        records = BeamRecords(asked)
        records.take(row(-1, -2), row(-1, -2))
        assert not records.are_wanted and not records._rows and records.of((0,)) == []
