"""Helpers of kernels: how often they are compiled, and how they may be called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.errors import TypingError
from numba.core.registry import cpu_target

from halfbyte.kernels.compiler import jit
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.vectors.scalars import put_i64


@jit.device
def _plus_constant(x, n):
    return x + n


@jit.device(keeps_constants=False)
def _plus(x, n):
    return x + n


def _versions(helper: Any) -> int:
    known = cpu_target.target_context._defns
    return sum(1 for key in known if isinstance(key, tuple) and key[0] is helper)


def test_constants_make_versions_of_helpers_that_keep_them(tmp_path: Path) -> None:
    def sums(out, x):
        put_i64(out, _plus_constant(x, 10) + _plus_constant(x, 20))
        put_i64(out + 8, _plus(x, 10) + _plus(x, 20))

    jit.set_cache_root(tmp_path / "cache")
    kernel, out = Kernel(sums, "test_versions"), np.zeros(2, np.int64)
    kernel.call(out.ctypes.data, 3)
    assert out.tolist() == [36, 36]
    assert _versions(_plus_constant) == 2
    assert _versions(_plus) == 1


def test_helpers_take_no_arguments_by_name() -> None:
    def named(out, x):
        put_i64(out, _plus(x, n=x))

    with pytest.raises(TypingError, match="_plus: helpers take no arguments by name"):
        Kernel(named, "test_named").new_code()
