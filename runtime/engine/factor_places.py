"""Which of a model's matrices adapters change, and where an adapter's table has their factors."""

from __future__ import annotations

from halfbyte.families.config import ModelConfig
from halfbyte.families.registry import stages_of
from halfbyte.families.stages import Project, Stage
from halfbyte.families.tensors import OUTPUT
from halfbyte.kernels.stages.record import FACTORS_NBYTES


def factor_places(config: ModelConfig) -> dict[str, int]:
    """GGUF name of each matrix that a row is multiplied by -> its number, in the stages' order."""
    places: dict[str, int] = {}
    for stage in stages_of(config):
        for name in stage.packed:
            places[factor_name(stage, name)] = len(places)
    return places


def factor_name(stage: Stage, name: str) -> str:
    """The name that an adapter has for a matrix; the head's own where the embedding is the head."""
    is_head = isinstance(stage, Project) and stage.to == "logits"
    return OUTPUT if is_head else stage.tensor(name)


def factors_at(place: int) -> int:
    """Bytes from an adapter's table to the factors of a matrix."""
    return place * FACTORS_NBYTES
