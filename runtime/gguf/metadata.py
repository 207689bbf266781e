"""The metadata of a GGUF file: typed values by key, read with bounds and handed out with checks."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ModelFileError
from halfbyte.files.file_reader import FileReader
from halfbyte.gguf.strings import Strings
from halfbyte.lazy_dataclass import dataclass

_T = TypeVar("_T")

_STRING, _ARRAY, _BOOL = 8, 9, 7
# Type id -> NumPy type of the fixed-size values.
_FIXED = {
    0: "<u1", 1: "<i1", 2: "<u2", 3: "<i2", 4: "<u4", 5: "<i4", 6: "<f4", 7: "?",
    10: "<u8", 11: "<i8", 12: "<f8",
}  # fmt: skip
_NAMES = {_STRING: "string", _ARRAY: "array"} | {i: np.dtype(t).name for i, t in _FIXED.items()}
_SHORT = 255  # of a string whose length has one byte other than 0
_BLOCK_NBYTES = 1 << 16  # in which short strings are looked for at once
_MAX_ODD = 256  # other strings that are read by themselves, before all are
_FIRST_NBYTES = 1 << 20  # that are read at once; then as many as there were
_CUT = "the file is cut short or damaged: fetch or convert it again"
_INT_TYPES = (0, 1, 2, 3, 4, 5, 10, 11)
_FLOAT_TYPES = (6, 12)


class Cursor:
    """A position in a file; every read is checked against the bytes that are left.

    Attributes:
        data: the file's beginning, as far as it was read.
    """

    def __init__(self, file: FileReader) -> None:
        self.path, self.nbytes, self.at, self.data = file.path, file.nbytes, 0, b""
        self._file = file

    def have(self, n: int, field: str) -> bytes:
        """Read on until n bytes follow the position; `data`."""
        left = self.nbytes - self.at
        if n > left:
            raise ModelFileError(
                self.path,
                field,
                expected=f"{n} more bytes at offset {self.at}",
                got=f"{left}",
                hint=_CUT,
            )
        known, end = len(self.data), self.at + n
        if end > known:
            end = min(max(end, 2 * known, _FIRST_NBYTES), self.nbytes)
            self.data += self._file.read(known, end).tobytes()
        return self.data

    def take(self, n: int, field: str) -> bytes:
        """The next n bytes."""
        data = self.have(n, field)
        self.at += n
        return data[self.at - n : self.at]

    def u32(self, field: str) -> int:
        """A 32-bit unsigned integer."""
        return int.from_bytes(self.take(4, field), "little")

    def u64(self, field: str) -> int:
        """A 64-bit unsigned integer."""
        return int.from_bytes(self.take(8, field), "little")

    def string(self, field: str) -> str:
        """A string, which must be UTF-8."""
        raw = self.take(self.u64(field), field)
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise ModelFileError(
                self.path, field, expected="UTF-8 text", got=repr(raw[:40])
            ) from error

    def check_count(self, n: int, min_nbytes: int, field: str) -> None:
        """Refuse a count of things that the rest of the file cannot hold."""
        room = (self.nbytes - self.at) // min_nbytes
        if n > room:
            raise ModelFileError(
                self.path,
                field,
                expected=f"at most {room}, for which there is room",
                got=n,
                hint=_CUT,
            )


@dataclass(slots=True)
class Value:
    """One value: its type id and what it is."""

    type_id: int
    value: int | float | bool | str | Strings | NDArray[np.generic]
    element: int = -1

    @property
    def type_name(self) -> str:
        """As GGUF's documentation calls it."""
        name = _NAMES[self.type_id]
        return f"{name} of {_NAMES[self.element]}" if self.type_id == _ARRAY else name


def read_metadata(cursor: Cursor, n: int) -> Metadata:
    """Read n key-value pairs."""
    cursor.check_count(n, 8 + 4 + 1, "metadata_kv_count")
    values: dict[str, Value] = {}
    for i in range(n):
        key = cursor.string(f"metadata {i}: key")
        if key in values:
            raise ModelFileError(cursor.path, "metadata", expected="unique keys", got=key)
        values[key] = _read_value(cursor, key)
    return Metadata(cursor.path, values)


def _read_value(cursor: Cursor, key: str) -> Value:
    type_id = cursor.u32(f"{key}: type")
    if type_id == _STRING:
        return Value(type_id, cursor.string(key))
    if type_id == _ARRAY:
        return _read_array(cursor, key)
    return Value(type_id, _read_fixed(cursor, type_id, 1, key)[0].item())


def _read_fixed(cursor: Cursor, type_id: int, n: int, key: str) -> NDArray[np.generic]:
    if type_id not in _FIXED:
        raise ModelFileError(cursor.path, f"{key}: type", expected="a GGUF type", got=type_id)
    dtype = np.dtype(_FIXED[type_id])
    cursor.check_count(n, dtype.itemsize, f"{key}: length")
    raw = np.frombuffer(cursor.take(n * dtype.itemsize, key), np.uint8)
    if type_id == _BOOL and raw.max(initial=0) > 1:
        raise ModelFileError(cursor.path, key, expected="0 or 1", got=int(raw.max()))
    return raw.view(dtype)


def _read_array(cursor: Cursor, key: str) -> Value:
    element, n = cursor.u32(f"{key}: element type"), cursor.u64(f"{key}: length")
    if element != _STRING:
        return Value(_ARRAY, _read_fixed(cursor, element, n, key), element)
    return Value(_ARRAY, _read_strings(cursor, n, key), element)


def _read_strings(cursor: Cursor, n: int, key: str) -> Strings:
    """n strings, each behind its length."""
    cursor.check_count(n, 8, f"{key}: length")
    begin, n_found, n_odd = cursor.at, 0, 0
    found = [np.empty(0, np.int64)]
    while n_found < n:
        starts = _short_strings(cursor, n - n_found) if n_odd < _MAX_ODD else found[0]
        if not len(starts):
            n_odd += 1
            last = n_found + 1 if n_odd < _MAX_ODD else n
            starts = np.fromiter(_each_string(cursor, range(n_found, last), key), np.int64)
        found.append(starts)
        n_found += len(starts)
    starts = np.concatenate(found)
    lengths = np.append(starts[1:] - 8, cursor.at) - starts
    return Strings(cursor.data[begin : cursor.at], starts - begin, lengths)


def _short_strings(cursor: Cursor, n: int) -> NDArray[np.int64]:
    """Where the next strings begin, n at most, as far as they are plain; the position moves on.

    A length below 256 has seven bytes 0 behind its first. Where these stand in a block of bytes is
    found at once; they are lengths as long as each leads to the next, which none does to a string
    that is empty or long, or has such bytes itself.
    """
    begin = cursor.at
    nbytes = min(_BLOCK_NBYTES, cursor.nbytes - begin, (8 + _SHORT) * n)
    data = np.frombuffer(cursor.have(nbytes, "strings"), np.uint8, nbytes, begin)
    zero = data == 0
    for more in (1, 2, 3):
        zero = zero[:-more] & zero[more:]
    places = np.flatnonzero(zero)[:n] - 1
    ends = places + 8 + data[places]
    is_next = np.append(places[:1] == 0, places[1:] == ends[:-1]) & (ends <= cursor.nbytes - begin)
    places = places[: len(places) if is_next.all() else int(is_next.argmin())]
    if len(places):
        cursor.take(int(ends[len(places) - 1]), "strings")  # the last one may end behind the block
    return places + (begin + 8)


def _each_string(cursor: Cursor, numbers: range, key: str) -> Iterator[int]:
    """Where strings of these numbers begin, one after the other."""
    data, at, end = cursor.data, cursor.at, len(cursor.data)
    unpack = struct.Struct("<Q").unpack_from
    for i in numbers:
        if end - at < 8:
            cursor.at = at
            data = cursor.have(8, f"{key}[{i}]")
            end = len(data)
        (length,) = unpack(data, at)
        at += 8
        if length > end - at:
            cursor.at = at
            data = cursor.have(length, f"{key}[{i}]")
            end = len(data)
        yield at
        at += length
    cursor.at = at


class Metadata:
    """A file's metadata. The getters raise ModelFileError naming the key."""

    def __init__(self, path: str, values: dict[str, Value]) -> None:
        self.path = path
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def keys(self) -> list[str]:
        """All keys, in the file's order."""
        return list(self._values)

    def states(self, key: str) -> bool:
        """Whether a key is there and says something: not the number 0."""
        if key not in self:
            return False
        value = self.raw(key).value
        return isinstance(value, (bool, np.ndarray)) or value != 0

    def raw(self, key: str) -> Value:
        """A value as it stands in the file; KeyError if absent."""
        return self._values[key]

    @overload
    def get_int(self, key: str, *, minimum: int = ..., maximum: int = ...) -> int: ...
    @overload
    def get_int(
        self, key: str, default: _T, *, minimum: int = ..., maximum: int = ...
    ) -> int | _T: ...
    def get_int(
        self, key: str, default: object = ..., *, minimum: int = 0, maximum: int = 2**63 - 1
    ) -> object:
        """A whole number within bounds; `default` where the key is absent."""
        value = self._get(key, default, _INT_TYPES, "a whole number")
        if key not in self._values:
            return value
        if not isinstance(value, int) or not minimum <= value <= maximum:
            raise ModelFileError(self.path, key, expected=f"from {minimum} to {maximum}", got=value)
        return value

    @overload
    def get_float(self, key: str) -> float: ...
    @overload
    def get_float(self, key: str, default: _T) -> float | _T: ...
    def get_float(self, key: str, default: object = ...) -> object:
        """A finite number above 0; `default` where the key is absent."""
        value = self._get(key, default, _FLOAT_TYPES, "a floating-point number")
        if key in self._values and not (
            isinstance(value, float) and math.isfinite(value) and value > 0
        ):
            raise ModelFileError(self.path, key, expected="a finite number above 0", got=value)
        return value

    @overload
    def get_str(self, key: str) -> str: ...
    @overload
    def get_str(self, key: str, default: _T) -> str | _T: ...
    def get_str(self, key: str, default: object = ...) -> object:
        """A text; `default` where the key is absent."""
        return self._get(key, default, (_STRING,), "a string")

    @overload
    def get_bool(self, key: str) -> bool: ...
    @overload
    def get_bool(self, key: str, default: _T) -> bool | _T: ...
    def get_bool(self, key: str, default: object = ...) -> object:
        """A truth value; `default` where the key is absent."""
        return self._get(key, default, (_BOOL,), "a bool")

    def get_strings(self, key: str) -> Strings:
        """An array of strings, as bytes: token pieces need not be UTF-8."""
        value = self._array(key)
        if not isinstance(value.value, Strings):
            raise ModelFileError(self.path, key, expected="strings", got=value.type_name)
        return value.value

    def get_numbers(self, key: str, *, floats: bool) -> NDArray[np.generic]:
        """An array of floats, or of whole numbers."""
        value = self._array(key)
        wanted = _FLOAT_TYPES if floats else _INT_TYPES
        if value.element not in wanted or not isinstance(value.value, np.ndarray):
            kind = "floating-point" if floats else "whole"
            raise ModelFileError(self.path, key, expected=f"{kind} numbers", got=value.type_name)
        return value.value

    def _array(self, key: str) -> Value:
        value = self._values.get(key)
        if value is None:
            raise ModelFileError(self.path, key, expected="an array", got="no such key")
        if value.type_id != _ARRAY:
            raise ModelFileError(self.path, key, expected="an array", got=value.type_name)
        return value

    def _get(self, key: str, default: object, types: tuple[int, ...], expected: str) -> object:
        value = self._values.get(key)
        if value is None:
            if default is ...:
                raise ModelFileError(self.path, key, expected=expected, got="no such key")
            return default
        if value.type_id not in types:
            raise ModelFileError(self.path, key, expected=expected, got=value.type_name)
        return value.value
