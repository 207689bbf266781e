"""Where the weights of a file will lie in memory, and how much they take there."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.disk_memory import on_disk
from halfbyte.engine.fused_latents import cut_nbytes
from halfbyte.engine.memory import empty
from halfbyte.engine.page_clearing import begun_memory
from halfbyte.errors import UnsupportedModelError
from halfbyte.families.config import ModelConfig
from halfbyte.families.registry import own_tensors
from halfbyte.families.tensors import TensorSpec
from halfbyte.gguf.factors import factor_names
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.tensor_table import TensorInfo
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, PanelFormat

_ALIGN = 64
Bytes = NDArray[np.uint8]


class Rooms:
    """Where weights lie: `memory`, and `experts`, empty unless these lie on the disk.

    Attributes:
        lets_go: whether memory cannot hold the file besides, whose pages the system is to forget.
    """

    def __init__(self, sizes: Mapping[TensorSpec, int], disk: Path | None) -> None:
        of_experts = sum(n for spec, n in sizes.items() if spec.is_of_experts) if disk else 0
        nbytes = sum(sizes.values()) - of_experts + _ALIGN
        begun = begun_memory(nbytes)
        if begun is None:
            self.memory = empty("weights", nbytes, np.uint8)
        else:
            self.memory = np.frombuffer(begun, np.uint8, nbytes)
        self.experts = np.empty(0, np.uint8)
        if disk is not None and of_experts:
            self.experts = on_disk("experts", of_experts + _ALIGN, disk)
        self.sizes, self.lets_go = sizes, False

    def parts(self) -> Iterator[tuple[TensorSpec, Bytes]]:
        """Each tensor's."""
        left = [room[-int(room.ctypes.data) % _ALIGN :] for room in (self.memory, self.experts)]
        for spec, nbytes in self.sizes.items():
            i = int(spec.is_of_experts and len(self.experts) > 0)
            yield spec, left[i][:nbytes]
            left[i] = left[i][nbytes:]


def weights_memory(file: GGUFFile, config: ModelConfig, disk: Path | None = None) -> Rooms:
    """Room for all tensors of a checked file, not touched yet.

    Where there is a folder `disk`, experts' matrices lie in a file there; see disk_memory.py.

    Raises:
        EngineError: there is not enough memory, or room on the disk.
    """
    return Rooms({spec: packed_nbytes(file, spec) for spec in in_memory(file, config)}, disk)


def in_memory(file: GGUFFile, config: ModelConfig) -> list[TensorSpec]:
    """The tensors of a checked file that take memory of their own."""
    left_out = factor_names(file)
    specs = (spec for spec in own_tensors(config) if spec.name in file.tensors)
    return [spec for spec in specs if not spec.in_file and spec.name not in left_out]


def panel_format(file: GGUFFile, info: TensorInfo) -> PanelFormat:
    """The packed form of a tensor; UnsupportedModelError if its type does not run."""
    found = PANEL_FORMATS.get(info.type_name)
    if found is None:
        raise UnsupportedModelError(
            file.path, f"{info.name}: type", expected=", ".join(PANEL_FORMATS), got=info.type_name
        )
    return found


def matrices_of(spec: TensorSpec) -> Sequence[tuple[str, int]]:
    """The matrices that a tensor becomes, by name, and their rows."""
    return spec.parts or ((spec.name, spec.shape[-2]),)


def packed_nbytes(file: GGUFFile, spec: TensorSpec) -> int:
    """Bytes of a tensor in memory; UnsupportedModelError if its type does not run."""
    *n, n_inputs = spec.shape
    if spec.heads:
        nbytes = cut_nbytes(panel_format(file, file.tensors[spec.name]), spec)
    elif spec.is_matrix:
        fmt = panel_format(file, file.tensors[spec.name])
        parts = sum(fmt.nbytes(n_rows, n_inputs) for _, n_rows in matrices_of(spec))
        nbytes = math.prod(n[:-1]) * parts
    else:
        n, n_inputs = ([n_inputs], n[0]) if spec.is_taps else (n, n_inputs)
        nbytes = math.prod(n) * 4 * padded(n_inputs)
    return -(-nbytes // _ALIGN) * _ALIGN
