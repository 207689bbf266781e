"""Where a running sum passes a part of the whole, against numpy.cumsum."""

from __future__ import annotations

import numpy as np
import pytest

from halfbyte.kernels.sampling.running_sums import index_passing

RNG = np.random.default_rng(7)


@pytest.mark.parametrize("n", [0, 1, 2, 511, 512, 513, 1024, 5000])
def test_the_sum_that_passes_is_the_one_of_a_running_sum(n: int) -> None:
    for shares in (RNG.random(n), np.exp(RNG.normal(0, 9, n)), np.zeros(n), np.full(n, 0.125)):
        shares[n // 3 : n // 2] = 0.0
        sums = np.cumsum(shares)
        for u in (0.0, 0.25, 1 - 2**-53, *RNG.random(20)):
            limit = u * sums[-1] if n else 0.0
            expected = np.searchsorted(sums, limit, side="right")
            assert index_passing(shares, u) == expected
        for i in range(0, n, 97):  # parts that fall on sums
            u = sums[i] / sums[-1] if sums[-1] else 0.5
            expected = np.searchsorted(sums, u * sums[-1], side="right")
            assert index_passing(shares, u) == expected
