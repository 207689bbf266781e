"""llama.cpp's quantizer; runs in `.venvs/peer`.

    python peer_quantize.py SOURCE.gguf OUT.gguf FTYPE [--pure] [--imatrix MEANS.npz]

FTYPE is a number of enum llama_ftype. The library takes an importance matrix as means by matrix,
which its programs compute from a file's sums; here they come as arrays of float32.
"""

from __future__ import annotations

import argparse
import ctypes
import sys

import llama_cpp as L
import numpy as np


def importance(path: str) -> tuple[ctypes.Array[L.llama_model_imatrix_data], list[np.ndarray]]:
    """The matrix as llama.cpp takes it, and the arrays that it points to."""
    with np.load(path) as file:
        names, means = list(file), [np.ascontiguousarray(file[name]) for name in file]
    entries = (L.llama_model_imatrix_data * (len(names) + 1))()  # an empty one ends it
    for entry, name, mean in zip(entries, names, means, strict=False):
        entry.name, entry.size = name.encode(), len(mean)
        entry.data = mean.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
    return entries, means


def main() -> None:
    """Quantize."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("file_type", type=int)
    parser.add_argument("--pure", action="store_true")
    parser.add_argument("--imatrix")
    args = parser.parse_args()
    params = L.llama_model_quantize_default_params()
    params.ftype, params.nthread, params.pure = args.file_type, 2, args.pure
    if args.imatrix:
        params.imatrix, _kept = importance(args.imatrix)
    sys.exit(L.llama_model_quantize(args.source.encode(), args.out.encode(), ctypes.byref(params)))


if __name__ == "__main__":
    main()
