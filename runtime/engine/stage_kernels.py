"""Kernels that a stage takes beside what every step has (kernels/stages/operations.py).

They are compiled alone, so that only models which have such stages compile them.
"""

from __future__ import annotations

from halfbyte.families.config import ModelConfig
from halfbyte.families.stages import (
    Embed,
    FeedForward,
    Join,
    Norm,
    PostNorm,
    Project,
    Rope,
    RowNorms,
    Stage,
)
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.stages.activate import activation_kernel
from halfbyte.kernels.stages.finish import project_and_finish
from halfbyte.kernels.stages.head_inputs import prepare_heads, rotate_far
from halfbyte.kernels.stages.layer_norm import layer_norm
from halfbyte.kernels.stages.learned_positions import add_positions
from halfbyte.kernels.stages.renorm import renorm


def stage_kernels(stage: Stage, c: ModelConfig) -> dict[str, Kernel]:
    """The kernels of a model's stage, by the words of its records that have their addresses."""
    match stage:
        case Embed() if stage.positions:
            return {"kernel": add_positions}
        case Norm() if stage.centers:
            return {"layer_norm": layer_norm}
        case Join() | PostNorm() | RowNorms():
            return {"kernel": renorm}
        case Project() if stage.bias or stage.scale != 1 or stage.softcap != 0:
            return {"finish": project_and_finish}
        case FeedForward():
            return {"activation": activation_kernel(stage.activation)}
        case Rope():
            return _rope_kernels(stage, c)
    return {}


def kernel_words(stage: Stage, c: ModelConfig) -> dict[str, int]:
    """Their addresses."""
    return {word: kernel.address for word, kernel in stage_kernels(stage, c).items()}


def _rope_kernels(stage: Rope, c: ModelConfig) -> dict[str, Kernel]:
    kernels = {"rotate_far": rotate_far} if c.sinks_of(stage.layer) else {}
    if stage.tensors or stage.value_norms or stage.values_are_keys or c.scales_queries:
        kernels["prepare_heads"] = prepare_heads
    return kernels
