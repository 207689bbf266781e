"""Pools whose kernels are kept from one run of the tests to the next."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from halfbyte.kernels.compiler import jit, target
from halfbyte.kernels.pool import Pool


@pytest.fixture(scope="module")
def kernel_cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled kernels are kept from one run to the next."""
    if value := os.environ.get("HALFBYTE_CACHE"):
        return Path(value).absolute() / "kernels"
    cache = getattr(request.config, "cache", None)
    return cache.mkdir("halfbyte-kernels") if cache else tmp_path_factory.mktemp("kernels")


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
