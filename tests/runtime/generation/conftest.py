"""What tests with small models share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from halfbyte.kernels.compiler import jit
from halfbyte.kernels.pool import Pool


@pytest.fixture(scope="module")
def threads(request: pytest.FixtureRequest) -> Iterator[Pool]:
    """With the compiled kernels of the engine's tests."""
    before, root = jit._directory, os.environ.get("HALFBYTE_CACHE")
    assert request.config.cache is not None
    kept = (
        Path(root).absolute() / "kernels"
        if root
        else request.config.cache.mkdir("halfbyte-kernels")
    )
    jit.set_cache_root(kept)
    with closing(Pool(2)) as pool:
        yield pool
    jit._directory = before
