"""What a protocol asks of a model: one of its methods, with its arguments."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from halfbyte.lazy_dataclass import dataclass

Method = Literal["complete", "infill", "chat", "edit"]


@dataclass(frozen=True, slots=True)
class Ask:
    """A call of Model.`method`.

    Attributes:
        method: the method's name.
        arguments: what it takes by position.
        options: what it takes by name, but `n` and what the server sees to: timeout and scope.
        n: how many answers; None for a single one.
    """

    method: Method
    arguments: tuple[Any, ...]
    options: dict[str, Any] = field(default_factory=dict)
    n: int | None = None
