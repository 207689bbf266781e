"""Files with attn_kv_b: the model of the same weights in two tensors, cut when it is loaded."""

from __future__ import annotations

import ctypes

import gguf
import numpy as np
import pytest

from halfbyte.engine.fused_latents import cut, cut_nbytes
from halfbyte.families.tensors import TensorSpec
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, n_panels
from halfbyte.kernels.pool import Pool

N, NOPE, VALUE, RANK = 2, 24, 20, 64
SPEC = TensorSpec("blk.0.attn_kv_b.weight", "", (N * (NOPE + VALUE), RANK), heads=(N, NOPE, VALUE))


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_both_parts_of_each_head(kind: str) -> None:
    rng, fmt = np.random.default_rng(3), PANEL_FORMATS[kind]
    qtype = gguf.GGMLQuantizationType[kind]
    rows = gguf.quants.quantize(rng.standard_normal(SPEC.shape).astype(np.float32), qtype)
    exact = gguf.quants.dequantize(rows, qtype).reshape(N, NOPE + VALUE, RANK)
    memory = np.zeros(cut_nbytes(fmt, SPEC), np.uint8)
    pool = Pool(1)
    made = cut(rows.view(np.uint8).ravel(), fmt, SPEC, pool, memory)
    pool.close()
    wanted = {"blk.0.attn_k_b.weight": exact[:, :NOPE].swapaxes(1, 2),
              "blk.0.attn_v_b.weight": exact[:, NOPE:]}  # fmt: skip
    assert set(made) == set(wanted)
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)
    for name, (own, shape, address) in made.items():
        assert shape == wanted[name].shape[1:]
        look_up = call(lookup_kernel(own.name).address)
        row = np.zeros(-(-shape[1] // 32) * 32, np.float32)
        for head, matrix in enumerate(wanted[name]):
            for i, numbers in enumerate(matrix):
                look_up(address + head * own.nbytes(*shape), n_panels(shape[0]),
                             own.n_units(shape[1]), i, row.ctypes.data)  # fmt: skip
                if kind == "Q8_0" and own.name == "F16":
                    numbers = numbers.astype(np.float16)  # blocks can't be transposed
                assert (row[: shape[1]] == numbers).all()
