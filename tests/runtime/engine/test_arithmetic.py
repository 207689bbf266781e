"""Which kernels and records each arithmetic takes; what they compute is in test_engine.py."""

from __future__ import annotations

import pytest

from halfbyte.engine.arithmetic import (
    check_arithmetic,
    product_kernels,
    record_nbytes,
    token_numbers,
)
from halfbyte.errors import RequestError
from halfbyte.kernels.layouts.activations import BF16_RECORD_NBYTES, RECORD_NBYTES
from halfbyte.kernels.layouts.panels import PANEL_FORMATS
from halfbyte.kernels.products.matmul import NARROW, matmul_kernel, ways


@pytest.mark.parametrize("name", PANEL_FORMATS)
def test_bf16_is_for_all_but_f32(name: str) -> None:
    fmt = PANEL_FORMATS[name]
    assert record_nbytes(fmt, "int8") == (RECORD_NBYTES if fmt.is_quantized else 0)
    assert record_nbytes(fmt, "bf16") == (0 if name == "F32" else BF16_RECORD_NBYTES)
    usual = {way: matmul_kernel(fmt.kernel_name, way) for way in ways(fmt.kernel_name)}
    assert product_kernels(fmt, "int8") == usual
    kernels, numbers = product_kernels(fmt, "bf16"), token_numbers(fmt, "bf16")
    if name == "F32":
        assert kernels == usual and numbers == token_numbers(fmt, "int8")
    else:
        assert [*kernels] == [NARROW] and kernels[NARROW].name == f"bf16_{fmt.kernel_name}"


def test_others_are_refused() -> None:
    check_arithmetic("int8")
    check_arithmetic("bf16")
    with pytest.raises(RequestError, match=r"arithmetic: expected one of int8, bf16, got 'fp16'"):
        check_arithmetic("fp16")
