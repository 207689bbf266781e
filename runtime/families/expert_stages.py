"""The stages of experts: who is chosen, what they make, and what becomes of it; see experts.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field

from halfbyte.families.stages import SCALE, Stage
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Route(Stage):
    """Each token's experts and their weights, from `routed`; see ExpertsConfig.

    `bias` is added to the logits. With `selection_bias`, experts are chosen by their scores and
    that together, and weighed by the scores alone. Of equal experts the first is chosen. Weights
    are multiplied by `scale` at last, and by each expert's own number where a file has such ones
    (`factors`).
    """

    bias: str = ""
    selection_bias: str = ""
    scale: float = 1.0
    factors: str = ""

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        biases = tuple((name, "bias") for name in (self.bias, self.selection_bias) if name)
        return (*biases, (self.factors, SCALE)) if self.factors else biases


@dataclass(frozen=True, slots=True)
class ExpertsStage(Stage, ABC):
    """What experts do, or heads: matrices (n_experts, rows, inputs), biases (n_experts, rows)."""

    biases: bool = field(default=False, kw_only=True)

    @property
    @abstractmethod
    def experts(self) -> tuple[str, ...]:
        """Short names of their matrices, which have the same inputs."""

    @property
    def in_memory(self) -> tuple[str, ...]:
        """The same as they lie in memory, where one may be cut in several (TensorSpec.parts)."""
        return self.experts

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        kinds = ("weight", "bias") if self.biases else ("weight",)
        return tuple((name, kind) for name in self.experts for kind in kinds)


@dataclass(frozen=True, slots=True)
class ExpertsHidden(ExpertsStage):
    """Of each token's experts: activation(gate normed) * (up normed), as `down` will take it.

    Without a gate ("") it is activation(up normed), "relu_squared" alone.
    With `clamps`: g sigmoid(1.702 g) (u + 1) of both clamped to `clamps`, g from above alone.
    Where it is `fused`, a tensor of that name holds the rows of both in a file, those of the gate
    first.
    """

    gate: str
    up: str
    down: str
    activation: str = "silu"
    clamps: float = 0.0
    fused: str = ""

    @property
    def experts(self) -> tuple[str, ...]:
        """See ExpertsStage."""
        return (self.fused,) if self.fused else self.in_memory

    @property
    def in_memory(self) -> tuple[str, ...]:
        """See ExpertsStage."""
        return (self.gate, self.up) if self.gate else (self.up,)


@dataclass(frozen=True, slots=True)
class ExpertsOutput(ExpertsStage):
    """x += weight (down hidden) of each token's experts, in ascending order; or to = the same."""

    down: str
    to: str = "x"

    @property
    def experts(self) -> tuple[str, ...]:
        """See ExpertsStage."""
        return (self.down,)


@dataclass(frozen=True, slots=True)
class AddGated(Stage):
    """x += sigmoid(routed[n_experts]) * shared."""
