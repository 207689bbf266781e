"""Pools whose kernels are kept from one run of the tests to the next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from halfbyte.kernels.compiler import jit, target
from halfbyte.kernels.pool import Pool


@pytest.fixture(scope="module")
def pools(kernel_cache: Path) -> Iterator[dict[int, Pool]]:
    """Pools by their number of threads."""
    if name := os.environ.get("HALFBYTE_ISA"):
        target.force(name)
    before = jit._directory
    jit.set_cache_root(kernel_cache)
    made = {n: Pool(n) for n in (1, 2, 3)}
    yield made
    for pool in made.values():
        pool.close()
    jit._directory = before
