"""Which matrices of a model an adapter can change, and the pairs of factors that were found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Generic, TypeVar

from halfbyte.families.config import ModelConfig
from halfbyte.families.registry import family_of
from halfbyte.families.tensors import OUTPUT, TensorSpec
from halfbyte.lazy_dataclass import dataclass
from halfbyte.lora.faults import misfit

EMBEDDING = "token_embd.weight"

T = TypeVar("T")


def matrices_of(config: ModelConfig) -> dict[str, TensorSpec]:
    """By GGUF name: those that rows are multiplied by, and no tables that rows are looked up in.

    A head that is the embedding too has its own name for adapters.
    """
    family = family_of(config)
    used = {stage.tensor(name) for stage in family.stages(config) for name in stage.matrices}
    specs = {s.name: s for s in family.tensors(config)}
    found = {
        name: spec for name, spec in specs.items()
        if name in used - {EMBEDDING} and len(spec.shape) == 2 and not spec.heads
    }  # fmt: skip
    found.setdefault(OUTPUT, replace(specs[EMBEDDING], name=OUTPUT, hf_name="lm_head.weight"))
    return found


@dataclass(frozen=True, slots=True)
class Pair(Generic[T]):
    """The tensors of one matrix."""

    spec: TensorSpec
    a: T
    b: T


def paired(
    path: Path,
    halves: Mapping[str, tuple[str, str, T]],
    config: ModelConfig,
    shape_of: Callable[[T], tuple[int, ...]],
    faults: list[str],
    base: str = "",
) -> dict[str, Pair[T]]:
    """The pairs by GGUF name, all of which fit.

    Args:
        path: of the adapter, for the error.
        halves: tensors by name: GGUF name of the matrix, "a" or "b", and the tensor.
        config: the model's.
        shape_of: a tensor's shape.
        faults: what is wrong already.
        base: the model that it says it is for.

    Raises:
        ModelFileError: a tensor that is not used, lacks its other half or does not fit.
    """
    known, found = matrices_of(config), dict[str, dict[str, T]]()
    for name, (matrix, half, tensor) in halves.items():
        if matrix not in known:
            faults.append(f"{name}: the model has no such matrix")
        elif half in found.setdefault(matrix, {}):
            faults.append(f"{name}: a second one of its matrix")
        else:
            found[matrix][half] = tensor
    pairs: dict[str, Pair[T]] = {}
    for matrix, both in found.items():
        if len(both) < 2:
            faults.append(f"{matrix}: only its half {', '.join(both).upper()}")
            continue
        spec, a, b = known[matrix], shape_of(both["a"]), shape_of(both["b"])
        n_rows, n_inputs = spec.shape
        rank = a[0] if a else 0
        if len(a) != 2 or len(b) != 2 or rank < 1 or a[1] != n_inputs or b != (n_rows, rank):
            wanted = f"(r, {n_inputs}) and ({n_rows}, r)"
            faults.append(f"{matrix}: factors of {a} and {b}, not {wanted}")
        pairs[matrix] = Pair(spec, both["a"], both["b"])
    if not faults and not pairs:
        faults.append("none at all")
    if faults:
        raise misfit(path, faults, base)
    return pairs
