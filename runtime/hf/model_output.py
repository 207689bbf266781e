"""Results by name, by place and as attributes, as transformers' ModelOutput has them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from halfbyte.hf.errors import MissingNameError


class ModelOutput:
    """A dataclass's fields that have a value, in their order; what is None is left out.

    Attributes:
        absent: of names that transformers has and that are not to be had here, why.
    """

    absent = "it is not to be had here"

    def keys(self) -> list[str]:
        """The names that have a value."""
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return [name for name in names if getattr(self, name) is not None]

    def values(self) -> list[Any]:
        """The values."""
        return [getattr(self, name) for name in self.keys()]

    def items(self) -> list[tuple[str, Any]]:
        """Names and values."""
        return list(zip(self.keys(), self.values(), strict=True))

    def to_tuple(self) -> tuple[Any, ...]:
        """The values."""
        return tuple(self.values())

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a name."""
        return self[name] if name in self.keys() else default

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str) and key in self.keys():
            return getattr(self, key)
        if isinstance(key, str):
            raise KeyError(key)
        return self.to_tuple()[key]

    def __getattr__(self, name: str) -> Any:
        raise MissingNameError(f"{name}: {self.absent}")
