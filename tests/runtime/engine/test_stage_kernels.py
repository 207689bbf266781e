"""A model compiles the kernels that its stages take before its first step, and no others."""

from __future__ import annotations

from typing import Any

import pytest
import small_models as small

from halfbyte.engine.model_kernels import kernels_for
from halfbyte.engine.stage_kernels import stage_kernels
from halfbyte.families.registry import family_of
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.pool import Pool

# Of the models that have more than an activation.
EXPECTED = {
    "F32": set(),
    "Qwen2": {"prepare_heads"},  # biases
    "Qwen3": {"prepare_heads"},  # norms
    "positions": {"prepare_heads"},  # queries are scaled
    "StarCoder2": {"layer_norm", "prepare_heads", "project_and_finish"},
    "Granite": {"prepare_heads", "project_and_finish"},
    "Gemma": set(),
    "OLMo2": {"renorm"},
    "Cohere2": {"layer_norm", "project_and_finish"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_stages_take_the_kernels_of_what_they_have(name: str) -> None:
    config = small.SHAPES[name].config()
    stages = family_of(config).stages(config)
    found = {kernel.name for stage in stages for kernel in stage_kernels(stage, config).values()}
    own = {one.rpartition(".")[2] for one in found}
    activation = {one for one in own if one.startswith("activate_")}
    assert len(activation) == 1
    assert own - activation == EXPECTED[name]


@pytest.mark.parametrize("name", small.SHAPES)
def test_a_program_asks_for_no_kernel_that_a_load_leaves_out(
    name: str, pools: dict[int, Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a kernel would be compiled behind the progress that a caller sees, and alone."""
    model: Any = small.build(small.SHAPES[name], pools[2])
    asked = set[str]()

    def address(kernel: Kernel) -> int:
        asked.add(kernel.name)
        return real(kernel)

    real = Kernel.address.fget
    assert real is not None
    monkeypatch.setattr(Kernel, "address", property(address))
    engine = model.engine(pools[2])
    small.run(engine, model.tokens(2), [1, 1])
    matrices = [*model.weights.matrices.items()]
    matrices += [(at, experts.first) for at, experts in model.weights.experts.items()]
    formats = {at: matrix.format for at, matrix in matrices}
    shape = model.shape
    listed = kernels_for(model.config, shape.kv_type, formats, shape.arithmetic)
    assert asked <= {kernel.name for kernel in listed}
    assert {"step.step", "pool.serve"} <= asked
