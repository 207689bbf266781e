"""What encoding returns, and how sequences of several lengths become one array."""

from __future__ import annotations

import logging
from collections import UserDict
from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal

import numpy as np

from halfbyte.errors import RequestError
from halfbyte.hf.errors import ArgumentError

log = logging.getLogger(__name__)

Side = Literal["left", "right"]
_TENSOR_TYPES = "None, 'np' or 'pt'"


class BatchEncoding(UserDict[str, Any]):
    """A mapping of names (`input_ids`, `attention_mask`, ...) to lists or arrays.

    Its items are attributes too, so that `encoding.input_ids` works.

    Args:
        data: the items.
        tensor_type: "np" or "pt" makes arrays of them.
        prepend_batch_axis: one sequence becomes an array of one row.
    """

    def __init__(
        self,
        data: Mapping[str, Any] | None = None,
        tensor_type: str | None = None,
        prepend_batch_axis: bool = False,
    ) -> None:
        super().__init__(data or {})
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

    def __getstate__(self) -> dict[str, Any]:
        """What pickle keeps."""
        return {"data": self.data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Fill from what pickle kept."""
        self.data = state["data"]

    @property
    def is_fast(self) -> bool:
        """False: there are no offsets into the text."""
        return False

    def convert_to_tensors(
        self, tensor_type: str | None = None, prepend_batch_axis: bool = False
    ) -> BatchEncoding:
        """Turn the items into arrays, in place.

        Raises:
            RequestError: an unknown type, or one whose package is absent.
            ArgumentError: sequences of several lengths.
        """
        if tensor_type is not None:
            check_tensor_type(tensor_type)
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
    """The torch package.

    Raises:
        RequestError: it is not installed.
    """
    try:
        return import_module("torch")
    except ImportError as error:
        raise RequestError(
            param,
            expected="PyTorch to be installed",
            got=str(error),
            hint="use return_tensors='np', or install torch",
        ) from error


def check_tensor_type(tensor_type: object) -> None:
    """Refuse a kind of array that is not known here.

    Raises:
        RequestError: it is not "np" or "pt".
    """
    if tensor_type not in (None, "np", "pt"):
        raise RequestError("return_tensors", expected=_TENSOR_TYPES, got=repr(tensor_type))


def to_tensor(name: str, value: Any, tensor_type: str) -> Any:
    """An array of integers; for NumPy, rows of several lengths are arrays in an array of objects.

    Raises:
        RequestError: torch is asked for and absent.
        ArgumentError: torch is asked for, and rows have several lengths.
    """
    lists = to_lists(value)
    is_nested = isinstance(lists, list) and all(isinstance(row, list) for row in lists)
    if is_nested and len({len(row) for row in lists}) > 1:
        if tensor_type == "pt":
            raise ArgumentError(
                name, expected="sequences of one length, to make a tensor", got="several lengths",
                hint="use padding=True, with truncation=True where a length is too long",
            )  # fmt: skip
        rows = np.empty(len(lists), dtype=object)
        rows[:] = [np.asarray(row, dtype=np.int64) for row in lists]
        return rows
    array = np.asarray(lists, dtype=np.int64)
    return import_torch("return_tensors").from_numpy(array) if tensor_type == "pt" else array


def to_lists(value: Any) -> Any:
    """Arrays and tensors, also inside of lists, as lists of Python's integers."""
    if hasattr(value, "tolist"):  # NumPy's and torch's, scalars included
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: to_lists(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [item if type(item) is int else to_lists(item) for item in value]
    return value


def tensor_type_of(value: Any) -> str | None:
    """The kind of array of ids, or None for a list, so that padding can give the kind back."""
    first = value
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if isinstance(first, (np.ndarray, np.generic)):
        return "np"
    return "pt" if type(first).__module__.partition(".")[0] == "torch" else None


def pad_one(
    item: dict[str, Any], length: int, side: Side, fillers: Mapping[str, int]
) -> dict[str, Any]:
    """A sequence's lists, filled up to a length.

    Args:
        item: lists by name; those without a filler are left alone.
        length: what to reach; a longer sequence stays as long.
        side: where the filling goes.
        fillers: name -> what its list is filled with.
    """
    n = length - len(item["input_ids"])
    padded = dict(item)
    for name, filler in fillers.items() if n > 0 else ():
        if name in item:
            filling = [filler] * n
            padded[name] = item[name] + filling if side == "right" else filling + item[name]
    return padded


def round_up(length: int, multiple: int | None) -> int:
    """The next length that is a multiple, or the length itself where none is asked for."""
    return length if multiple is None else -(-length // multiple) * multiple


def columns(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Mappings with the same names as one mapping of lists."""
    collected: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            collected.setdefault(name, []).append(value)
    return collected


def truncate(
    ids: Sequence[int], pair: Sequence[int] | None, n: int, strategy: str, side: Side
) -> tuple[list[int], list[int] | None]:
    """A sequence, or a pair of them, shorter by n tokens.

    "longest_first" takes from the longer one until both are equally long, and then from both in
    turn. A sequence that is not longer than what it should lose is left whole, which is logged:
    as with transformers.
    """
    first, second = list(ids), None if pair is None else list(pair)
    if strategy == "longest_first" and second is not None:
        n_first, n_second = _shares(len(first), len(second), n)
        return _cut(first, n_first, side), _cut(second, n_second, side)
    chosen = second if strategy == "only_second" else first
    if chosen is None or len(chosen) <= n:
        log.error("%d tokens cannot be taken from %d: not truncated", n, len(chosen or []))
        return first, second
    if strategy == "only_second":
        return first, _cut(chosen, n, side)
    return _cut(chosen, n, side), second


def _shares(n_first: int, n_second: int, n: int) -> tuple[int, int]:
    """How many tokens each of a pair loses: the longer one the difference, then half each."""
    difference = min(abs(n_first - n_second), n)
    rest = n - difference
    if n_first > n_second:
        return difference + rest // 2, rest - rest // 2
    return rest // 2, difference + rest - rest // 2


def _cut(ids: list[int], n: int, side: Side) -> list[int]:
    return ids[: max(len(ids) - n, 0)] if side == "right" else ids[n:]
