"""A step with experts: what it reads, and a router whose numbers are none.

That its bits are the same in any company is tested with all other shapes in test_engine.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import small_models as small

from halfbyte.engine.expert_records import ExpertRecords, expert_kernels
from halfbyte.engine.finite import check_finite
from halfbyte.errors import EngineError
from halfbyte.families.expert_stages import Route
from halfbyte.kernels.pool import Pool

N_TOKENS = 40
SHAPE = small.SHAPES["Qwen3MoE"]


def _spoil(model: small.Model, name: str, experts: list[int]) -> None:
    """Make all numbers of some experts' matrices none."""
    own = model.weights.experts[name]
    memory = next(a for a in model.weights.test_arrays if a.ctypes.data == own.first.address)
    memory[experts] = 0xFF


def test_only_chosen_experts_are_read(pools: dict[int, Pool]) -> None:
    """Whatever stands in the others: of a token alone, and of a prompt."""
    model = small.build(replace(SHAPE, n_layers=1), pools[2])
    tokens = model.tokens(N_TOKENS)
    # A router that always prefers the experts 1 and 4, by a row of its own size.
    router = next(
        a
        for a in model.weights.test_arrays
        if a.ctypes.data == model.weights.matrices["blk.0.ffn_gate_inp.weight"].address
    )
    router[:] = 0
    engine = model.engine(pools[2])
    expected = small.run(engine, tokens, [30, *[1] * 10])  # all are equal: 0 and 1 are chosen
    for name in ("gate", "up", "down"):
        _spoil(model, f"blk.0.ffn_{name}_exps.weight", [2, 3, 4, 5])
    assert (small.run(engine, tokens, [30, *[1] * 10]) == expected).all()
    _spoil(model, "blk.0.ffn_up_exps.weight", [1])
    assert np.isnan(small.run(engine, tokens, [30, *[1] * 10])).any(1).all()


def test_a_router_of_no_numbers_is_an_error(pools: dict[int, Pool]) -> None:
    model = small.build(replace(SHAPE, n_layers=1), pools[2])
    router = model.weights.matrices["blk.0.ffn_gate_inp.weight"]
    memory = next(a for a in model.weights.test_arrays if a.ctypes.data == router.address)
    memory.view(np.float32)[:] = np.nan
    logits = small.run(model.engine(pools[2]), model.tokens(5), [4, 1])
    for row in range(5):
        with pytest.raises(EngineError, match="not finite"):
            check_finite(logits[row : row + 1], row)


def test_models_without_experts_have_none_of_their_kernels(pools: dict[int, Pool]) -> None:
    dense = small.SHAPES["F32"].config()
    assert expert_kernels(dense) == [] and len(expert_kernels(SHAPE.config())) == 6
    with pytest.raises(TypeError, match="without experts"):
        ExpertRecords(dense, None, None, []).records(Route(layer=0), {})  # type: ignore[arg-type]
