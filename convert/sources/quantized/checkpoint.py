"""What a method finds: a checkpoint's stored tensors by the module they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.safetensors_file import StoredTensor
from halfbyte.errors import ConversionError
from halfbyte.kernels.formats.block_format import BlockFormat


class HFTensor(Protocol):
    """A tensor of a checkpoint under its plain name."""

    @property
    def name(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def is_quantized(self) -> bool:
        """Whether its numbers have been rounded already."""

    @property
    def format(self) -> BlockFormat | None:
        """The type of GGUF that holds it without rounding, if there is one."""

    def rows(self, index: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        """Some rows (entries of a vector) as float32."""

    def stored(self, index: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        """The same as bytes of `format`: (rows, bytes)."""

    def prefetch(self) -> None:
        """Have it read from the disk in the background."""

    def release(self) -> None:
        """Give back the memory that it took."""


def are_equal(a: HFTensor, b: HFTensor, step: int = 1024) -> bool:
    """Whether two tensors have the same shape and numbers."""
    if a.shape != b.shape:
        return False
    pieces = [slice(begin, begin + step) for begin in range(0, a.shape[0], step)]
    return all(bool((a.rows(piece) == b.rows(piece)).all()) for piece in pieces)


class Checkpoint:
    """The stored tensors that no method has taken yet, and the method's settings.

    Args:
        path: the folder.
        settings: `quantization_config` of config.json, or a file of its own.
        tensors: by their names.
    """

    def __init__(
        self, path: Path, settings: Mapping[str, Any], tensors: Mapping[str, StoredTensor]
    ) -> None:
        self.path, self.settings = path, settings
        self._tensors = dict(tensors)

    def modules(self, part: str) -> list[str]:
        """Names of the modules that have such a part, such as "qweight"."""
        end = f".{part}"
        return [name.removesuffix(end) for name in self._tensors if name.endswith(end)]

    def peek(self, name: str) -> StoredTensor | None:
        """A tensor, if it is there."""
        return self._tensors.get(name)

    def take(self, name: str, *dtypes: str) -> StoredTensor:
        """A tensor, which is then taken.

        Raises:
            ConversionError: it is missing, or of another dtype.
        """
        tensor = self._tensors.pop(name, None)
        if tensor is None:
            raise ConversionError(self.path, name, expected="a tensor", got="none of that name")
        if tensor.dtype not in dtypes:
            raise self.bad(tensor, "dtype", " or ".join(dtypes), tensor.dtype)
        return tensor

    def drop(self, name: str) -> bool:
        """Leave a tensor out; whether it was there."""
        return self._tensors.pop(name, None) is not None

    def rest(self) -> dict[str, StoredTensor]:
        """The tensors that nothing has taken."""
        return dict(self._tensors)

    def matrix(self, tensor: StoredTensor) -> tuple[int, int]:
        """The shape of a matrix that isn't empty; ConversionError for anything else."""
        if len(tensor.shape) != 2 or 0 in tensor.shape:
            raise self.bad(tensor, "shape", "two dimensions above 0", str(tensor.shape))
        return tensor.shape[0], tensor.shape[1]

    def check_shape(self, tensor: StoredTensor, *shapes: tuple[int, ...]) -> None:
        """ConversionError unless the tensor has one of these shapes."""
        if tensor.shape not in shapes:
            wanted = " or ".join(map(str, shapes))
            raise self.bad(tensor, "shape", wanted, str(tensor.shape))

    def setting(self, key: str, *supported: object, default: object = None) -> Any:
        """A setting that must be one of these.

        Raises:
            ConversionError: it is another.
        """
        value = self.settings.get(key, default)
        if not any(type(value) is type(one) and value == one for one in supported):
            wanted = " or ".join(repr(one) for one in supported)
            raise self.unsupported(key, wanted, value)
        return value

    def count(self, key: str, default: int, *, least: int = 1) -> int:
        """A setting that is a whole number."""
        value = self.settings.get(key, default)
        if type(value) is not int or value < least:
            raise self.unsupported(key, f"a whole number from {least}", value)
        return value

    def group_size(self, n_inputs: int) -> int:
        """Inputs of a group; -1 in the settings means all of them."""
        size = self.settings.get("group_size", -1)
        return n_inputs if size in (-1, None) else self.count("group_size", -1)

    def unsupported(self, key: str, expected: str, got: object) -> ConversionError:
        """An error about a setting."""
        return ConversionError(
            self.path, f"quantization_config: {key}", expected=expected, got=repr(got)
        )

    def bad(self, tensor: StoredTensor, what: str, expected: str, got: str) -> ConversionError:
        """An error about a stored tensor."""
        return ConversionError(
            tensor.file.path, f"{tensor.name}: {what}", expected=expected, got=got
        )


def groups_of(n_inputs: int, size: int) -> NDArray[np.int64]:
    """The group of each input where `size` neighbours share one, the last one's perhaps fewer."""
    return np.arange(n_inputs) // size


def group_index(checkpoint: Checkpoint, tensor: StoredTensor, n_groups: int) -> NDArray[np.int64]:
    """A stored `g_idx`, checked."""
    index = tensor.raw().astype(np.int64)
    if len(index) and not 0 <= index.min() <= index.max() < n_groups:
        got = f"{index.min()} to {index.max()}"
        raise checkpoint.bad(tensor, "values", f"groups from 0 to {n_groups - 1}", got)
    return index
