"""Kernels that a stage takes beside what every step has (kernels/stages/operations.py).

They are compiled alone, so that only models which have such stages compile them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from halfbyte.import_lock import Later
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.stages.activate import activation_kernel

if TYPE_CHECKING:
    from halfbyte.kernels.stages import finish, head_inputs, layer_norm, learned_positions, renorm
else:  # few models have what these are for
    finish = Later("halfbyte.kernels.stages.finish")
    head_inputs = Later("halfbyte.kernels.stages.head_inputs")
    layer_norm = Later("halfbyte.kernels.stages.layer_norm")
    learned_positions = Later("halfbyte.kernels.stages.learned_positions")
    renorm = Later("halfbyte.kernels.stages.renorm")


def stage_kernels(stage: Stage, c: ModelConfig) -> dict[str, Kernel]:
    """The kernels of a model's stage, by the words of its records that have their addresses."""
    match stage:
        case Embed() if stage.positions:
            return {"kernel": learned_positions.add_positions}
        case Norm() if stage.centers:
            return {"layer_norm": layer_norm.layer_norm}
        case Join() | PostNorm() | RowNorms():
            return {"kernel": renorm.renorm}
        case Project() if stage.bias or stage.scale != 1 or stage.softcap != 0:
            return {"finish": finish.project_and_finish}
        case FeedForward():
            return {"activation": activation_kernel(stage.activation)}
        case Rope():
            return _rope_kernels(stage, c)
    return {}


def kernel_words(stage: Stage, c: ModelConfig) -> dict[str, int]:
    """Their addresses."""
    return {word: kernel.address for word, kernel in stage_kernels(stage, c).items()}


def _rope_kernels(stage: Rope, c: ModelConfig) -> dict[str, Kernel]:
    kernels = {"rotate_far": head_inputs.rotate_far} if c.sinks_of(stage.layer) else {}
    if stage.tensors or stage.value_norms or stage.values_are_keys or c.scales_queries:
        kernels["prepare_heads"] = head_inputs.prepare_heads
    return kernels
