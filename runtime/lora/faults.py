"""What is wrong with an adapter, as one error."""

from __future__ import annotations

from pathlib import Path

from halfbyte.errors import ModelFileError

_SHOWN = 6


def misfit(path: Path, faults: list[str], base: str = "") -> ModelFileError:
    """The error for tensors that do not fit; `base`: the model that the adapter says it is for."""
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    hint = f"it was made for {base}" if base else "it may have been made for another model"
    return ModelFileError(
        path, "tensors", expected="an adapter of this model's matrices, every tensor used",
        got="; ".join(faults[:_SHOWN]) + more, hint=hint,
    )  # fmt: skip
