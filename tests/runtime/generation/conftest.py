"""What tests with small models share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from halfbyte.kernels.compiler import jit
from halfbyte.kernels.pool import Pool


@pytest.fixture(scope="module")
def threads(kernel_cache: Path) -> Iterator[Pool]:
    """With kernels that are kept."""
    before = jit._directory
    jit.set_cache_root(kernel_cache)
    with closing(Pool(2)) as pool:
        yield pool
    jit._directory = before
