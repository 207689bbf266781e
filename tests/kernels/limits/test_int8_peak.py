"""The int8 benchmark really multiplies what it counts."""

from __future__ import annotations

import numpy as np

from halfbyte.kernels.compiler import target
from halfbyte.kernels.limits.int8_peak import int8_peak, peak_job
from halfbyte.kernels.pool import Pool


def test_every_product_is_added(pool: Pool) -> None:
    job, args, macs, memory = peak_job(7)
    pool.run(job, args)
    out = memory[-1]
    if target.current().name == "amx":
        written = out[:, : 16 * 16]
        assert (written == 7 * 64).all()
        assert macs == 4 * written.sum()
    else:
        written = out.view(np.float32)
        # With one panel only a quarter of the room is used.
        used = written[:, written[0] != 0]
        assert (used == 7 * 32).all()
        assert macs == used.sum()


def test_a_rate_is_given(pool2: Pool) -> None:
    assert int8_peak(pool2, n=100, rounds=2) > 0
