"""What encoding returns, and ids as lists, NumPy's arrays or torch's tensors."""

from __future__ import annotations

import logging
from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from halfbyte.errors import RequestError
from halfbyte.hf.alignment import Aligned, Alignment

log = logging.getLogger(__name__)

_MAX_DEPTH = 8  # of lists in lists


class BatchEncoding(Aligned, UserDict[str, Any]):
    """A mapping of names (`input_ids`, `attention_mask`, ...) to lists or arrays.

    Its items are attributes too, so that `encoding.input_ids` works.

    Args:
        data: the items.
        tensor_type: "np" or "pt" makes arrays of them.
        prepend_batch_axis: one sequence becomes an array of one row.
        alignments: where the tokens of each row come from, if they come from texts.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
        alignments: list[Alignment] | None = None,
    ) -> None:
        super().__init__(data or {})
        self.alignments = alignments
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, key: Any) -> Any:
        """The item of a name; a slice of sequences gives all items, cut."""
        if isinstance(key, slice):
            return {name: value[key] for name, value in self.data.items()}
        return self.data[key]

    def __getattr__(self, name: str) -> Any:
        """The item of that name."""
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(f"this encoding has no {name!r}") from None

    def convert_to_tensors(
        self, tensor_type: str | None = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Make arrays of the items, in place; RequestError for other types, and as to_tensor."""
        if tensor_type is not None and not (
            isinstance(tensor_type, str) and tensor_type in ("np", "pt")
        ):
            expected = "None, 'np' or 'pt'"
            raise RequestError("return_tensors", expected=expected, got=repr(tensor_type))
        if tensor_type is not None:
            for name, value in self.data.items():
                rows = [value] if prepend_batch_axis else value
                self.data[name] = to_tensor(name, rows, tensor_type)
        return self

    def to(self, device: Any, *, non_blocking: bool = False) -> BatchEncoding:
        """The encoding itself, on the CPU: another device is logged as without effect."""
        check_device(device)
        return self


def check_device(device: Any, name: str = "device") -> None:
    """Say that a device has no effect, unless it is where halfbyte computes anyway."""
    if device is not None and str(device) not in ("cpu", "auto", "-1"):
        log.warning("%s=%s has no effect: halfbyte computes on the CPU", name, device)


def import_torch(param: str) -> Any:
    """The torch package; raises RequestError where it is not installed."""
    try:
        return import_module("torch")
    except ImportError as error:
        raise RequestError(
            param,
            expected="PyTorch to be installed",
            got=str(error),
            hint="use return_tensors='np', or install torch",
        ) from error


def to_tensor(name: str, value: Any, tensor_type: str) -> Any:
    """An array of integers; for NumPy, rows of several lengths are arrays in an array of objects.

    Raises:
        RequestError: torch is asked for and absent.
        RequestError: torch is asked for, and rows have several lengths.
    """
    lists = to_lists(value)
    is_nested = isinstance(lists, list) and all(isinstance(row, list) for row in lists)
    if is_nested and len({len(row) for row in lists}) > 1:
        if tensor_type == "pt":
            raise RequestError(
                name, expected="sequences of one length, to make a tensor", got="several lengths",
                hint="use padding=True, with truncation=True where a length is too long",
            )  # fmt: skip
        rows = np.empty(len(lists), dtype=object)
        rows[:] = [np.asarray(row, dtype=np.int64) for row in lists]
        return rows
    array = np.asarray(lists, dtype=np.int64)
    return import_torch("return_tensors").from_numpy(array) if tensor_type == "pt" else array


def to_lists(value: Any, depth: int = _MAX_DEPTH) -> Any:
    """Arrays and tensors, also inside of lists, as lists of Python's integers.

    Raises:
        RequestError: lists that are nested deeper than that, or hold themselves.
    """
    if hasattr(value, "tolist"):  # NumPy's and torch's, scalars included
        return value.tolist()
    if isinstance(value, (list, tuple)):
        if not depth:
            raise RequestError("ids", expected=f"at most {_MAX_DEPTH} levels", got="more")
        return [item if type(item) is int else to_lists(item, depth - 1) for item in value]
    return value


def tensor_type_of(value: Any) -> str | None:
    """The kind of array of ids, or None for a list, so that padding can give the kind back."""
    first = value
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if isinstance(first, (np.ndarray, np.generic)):
        return "np"
    return "pt" if type(first).__module__.partition(".")[0] == "torch" else None
