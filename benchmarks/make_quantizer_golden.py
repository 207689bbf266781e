"""Write tests/data/golden_quantizers.json: what ggml's quantizers lose on some random rows.

    .venvs/peer/bin/python benchmarks/make_quantizer_golden.py

For each K type, IQ4 and distribution: the sum of squared errors of ggml's quantize_row_*_ref (of
IQ4 quantize_*, which tries more) over the sum of squares. The rows are made by `rows`, which the
tests use too.
"""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden_quantizers.json"
# Bytes of 256 weights.
NBYTES = {
    "Q2_K": 84, "Q3_K": 110, "Q4_K": 144, "Q5_K": 176, "Q6_K": 210, "IQ4_NL": 144, "IQ4_XS": 136
}  # fmt: skip
DISTRIBUTIONS = ("normal", "heavy", "uniform", "positive", "outliers", "sparse")
SHAPE = (64, 1024)


def rows(distribution: str) -> NDArray[np.float32]:
    """Random rows, float32 SHAPE."""
    rng = np.random.default_rng(DISTRIBUTIONS.index(distribution))
    x = {
        "normal": lambda: rng.standard_normal(SHAPE),
        "heavy": lambda: rng.standard_t(3, SHAPE),
        "uniform": lambda: rng.uniform(-1, 1, SHAPE),
        "positive": lambda: np.abs(rng.standard_normal(SHAPE)),
        "outliers": lambda: rng.standard_normal(SHAPE) * (1 + 9 * (rng.random(SHAPE) < 0.01)),
        "sparse": lambda: rng.standard_normal(SHAPE) * (rng.random(SHAPE) < 0.2),
    }[distribution]()
    return np.ascontiguousarray(0.02 * x, np.float32)


def _quantize(
    lib: ctypes.CDLL, name: str, x: NDArray[np.float32], blocks: NDArray[np.uint8]
) -> None:
    if name.startswith("iq"):
        quantize = getattr(lib, f"quantize_{name}")
        quantize.argtypes = [*[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 2, ctypes.c_void_p]
        quantize(x.ctypes.data, blocks.ctypes.data, *x.shape, None)
    else:
        quantize = getattr(lib, f"quantize_row_{name}_ref")
        quantize.argtypes = [*[ctypes.c_void_p] * 2, ctypes.c_int64]
        quantize(x.ctypes.data, blocks.ctypes.data, x.size)


def main() -> None:
    """Make the file."""
    import llama_cpp

    lib = ctypes.CDLL(str(Path(llama_cpp.__file__).parent / "lib" / "libggml-base.so"))
    errors: dict[str, dict[str, float]] = {}
    for name, nbytes in NBYTES.items():
        lower = name.lower() if name.startswith("IQ") else f"{name.lower()[:-1]}K"
        back_again = getattr(lib, f"dequantize_row_{lower}")
        back_again.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        errors[name] = {}
        for distribution in DISTRIBUTIONS:
            x = rows(distribution)
            blocks, back = np.zeros(x.size // 256 * nbytes, np.uint8), np.empty_like(x)
            _quantize(lib, lower, x, blocks)
            back_again(blocks.ctypes.data, back.ctypes.data, x.size)
            errors[name][distribution] = float(((back - x) ** 2).sum() / (x**2).sum())
    data = {"llama-cpp-python": llama_cpp.__version__, "errors": errors}
    OUT.write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
