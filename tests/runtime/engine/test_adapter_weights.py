"""Steps with adapters against float64, and each row against itself in other company."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models as small

from halfbyte.engine.adapter_weights import AdapterWeights, Applied, pack_adapter
from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.factor_places import factor_places
from halfbyte.families.registry import family_of
from halfbyte.families.tensors import OUTPUT
from halfbyte.kernels.pool import CONTENDED, STAGE_MASK, Pool
from halfbyte.lora.adapter import Adapter, Factors
from halfbyte.lora.matrices import matrices_of

N_TOKENS = 150
# As in test_engine.py, for the models with these adapters in their weights.
TOLERANCE = {
    "F32": 1e-5,
    "Q4_0": 8e-2,
    "mix": 6e-2,
    "Qwen3": 1e-5,
    "positions": 1e-5,
    "Qwen3Next": 1e-5,
}


@pytest.fixture(scope="module")
def pool(pools: dict[int, Pool]) -> Pool:
    return pools[2]


def adapter_of(model: small.Model, rank: int, seed: int, kind: Any = "F32") -> Adapter:
    """Factors of every matrix, the head's too."""
    rng, factors = np.random.default_rng(seed), {}
    for name, spec in matrices_of(model.config).items():
        n_rows, n_inputs = spec.shape
        a = rng.standard_normal((rank, n_inputs)) / np.sqrt(n_inputs)
        b = rng.standard_normal((n_rows, rank)) * 0.3 / np.sqrt(rank)
        a, b = (x.astype(np.float16 if kind == "F16" else np.float32) for x in (a, b))
        factors[name] = Factors(a.astype(np.float32), b.astype(np.float32), 0.7)
    return Adapter(Path("adapter"), kind, factors)


def packed(model: small.Model, adapter: Adapter) -> AdapterWeights:
    return pack_adapter(adapter, model.config, model.weights.matrices)


def merged(model: small.Model, adapter: Adapter, scale: float) -> small.Model:
    """The model with the adapter in its weights, whose rows are in the kernels' order."""
    family, exact = family_of(model.config), dict(model.exact)
    specs = matrices_of(model.config)
    for name, one in adapter.factors.items():
        spec = specs[name]
        order = spec.neighbours() if family.rotates_halves else None
        b, first = one.b if order is None else one.b[order], 0
        for part, n_rows in spec.parts or ((name, len(b)),):
            rows = b[first : first + n_rows]
            exact[part] = exact[part] + np.float32(scale * one.scale) * (rows @ one.a)
            first += n_rows
    return small.Model(model.shape, model.config, model.weights, exact)


@pytest.mark.parametrize("name", TOLERANCE)
@pytest.mark.parametrize(("kind", "rank"), [("F32", 5), ("F16", 16)])
def test_close_to_float64_and_the_same_in_any_company(
    name: str, kind: str, rank: int, pool: Pool
) -> None:
    model = small.build(small.SHAPES[name], pool)
    adapter = adapter_of(model, rank, 3, kind)
    if model.config.tied:
        del adapter.factors[OUTPUT]  # type: ignore[attr-defined]
    weights, tokens = packed(model, adapter), model.tokens(N_TOKENS)
    engine, through = model.engine(pool), [Applied(weights, 0.5)]
    whole = forward(engine, tokens, [N_TOKENS], through)
    exact = small.reference_logits(merged(model, adapter, 0.5), tokens, rounds=True)
    plain = forward(engine, tokens, [N_TOKENS], ())
    error = np.abs(whole - exact).max() / np.abs(exact).max()
    assert error < TOLERANCE[name] < np.abs(plain - exact).max() / np.abs(exact).max()
    for contended in (0, STAGE_MASK):  # as if threads were kept away, or not
        engine.pool._state[CONTENDED // 8] = contended
        in_pieces = forward(engine, tokens, [3, 90, 1, 1, 1, 1, 53], through)
        assert (in_pieces == whole).all()
    # Beside rows without, with another and with two adapters.
    other = Applied(packed(model, adapter_of(model, 3, 8)), -1.0)
    ways: list[Sequence[Applied]] = [(), through, [other], [*through, other], ()]
    alone = [forward(engine, tokens[:40], [40], way) for way in ways]
    sequences = [engine.new_sequence() for _ in ways]
    together: list[list[Any]] = [[] for _ in ways]
    for begin, end in ((0, 30), (30, 31), (31, 32), (32, 40)):
        spans = [
            Span(sequence, tokens[begin:end], end - begin, way)
            for sequence, way in zip(sequences, ways, strict=True)
        ]
        rows = np.split(engine.forward(spans), len(ways))
        for kept, row in zip(together, rows, strict=True):
            kept.append(row)
    for i, one in enumerate(alone):
        assert (np.concatenate(together[i]) == one).all()
    assert (alone[0] == plain[:40]).all()


def forward(
    engine: Engine, tokens: list[int], chunks: Sequence[int], adapters: Sequence[Applied]
) -> Any:
    sequence, out, at = engine.new_sequence(), [], 0
    for n in chunks:
        out.append(engine.forward([Span(sequence, tokens[at : at + n], n, adapters)]))
        at += n
    return np.concatenate(out)


def test_a_model_alone_runs_the_program_that_it_had(pool: Pool) -> None:
    """No stage of adapters is in it, and the other program is made when it is needed."""
    model = small.build(small.SHAPES["Q4_0"], pool)
    engine = model.engine(pool)
    n_stages = engine.program.words["n_stages"]
    engine.forward([Span(engine.new_sequence(), [1, 2], 1)])
    assert engine._adapted._program is None
    through = [Applied(packed(model, adapter_of(model, 2, 1)), 1.0)]
    engine.forward([Span(engine.new_sequence(), [1, 2], 1, through)])
    n_products = sum(bool(stage.matrices) for stage, _ in engine.program.stages)
    assert engine._adapted.program.words["n_stages"] == n_stages + n_products
    assert len(factor_places(model.config)) == 7 * model.config.n_layers + 1


def test_factors_that_are_next_to_nothing(pool: Pool) -> None:
    """What would bring them into the range of half precision is no float."""
    model = small.build(small.SHAPES["Q8_0"], pool)
    adapter, tokens = adapter_of(model, 4, 2), model.tokens(20)
    tiny = {
        name: Factors(one.a, one.b * np.float32(1e-40), one.scale)
        for name, one in adapter.factors.items()
    }
    through = [Applied(packed(model, Adapter(adapter.path, "F32", tiny)), 1.0)]
    engine = model.engine(pool)
    assert (forward(engine, tokens, [20], through) == forward(engine, tokens, [20], ())).all()


def test_half_precision_beside_quantized_matrices(pool: Pool) -> None:
    """Numbers of any size: a power of two brings them into its range, and is made good for."""
    model = small.build(small.SHAPES["Q8_0"], pool)
    adapter, tokens = adapter_of(model, 4, 2), model.tokens(20)
    engine = model.engine(pool)
    usual = forward(engine, tokens, [20], [Applied(packed(model, adapter), 1.0)])
    for size in (2.0**-40, 2.0**40):
        sized = {
            name: Factors(one.a * np.float32(size), one.b / np.float32(size), one.scale)
            for name, one in adapter.factors.items()
        }
        weights = packed(model, Adapter(adapter.path, "F32", sized))
        assert (forward(engine, tokens, [20], [Applied(weights, 1.0)]) == usual).all()
