"""The schema of a request: a base of pydantic classes that refuse, accept or mention fields."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema

from halfbyte.server.fault import Fault

log = logging.getLogger(__name__)

_MOST_MENTIONED = 1000  # names, which clients make up
_mentioned: set[tuple[str, str]] = set()

MAX_TOKENS = 1 << 20
# Numbers as the protocols bound them; null stands for the default.
Count = Annotated[int, Field(ge=0, le=MAX_TOKENS)]
Positive = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=-(1 << 63), lt=1 << 64)]
TokenId = Annotated[int, Field(ge=0, lt=1 << 31)]


def _fail_fast(schema: Any) -> None:
    """Have each list and object within a schema stop at its first error."""
    if isinstance(schema, dict):
        if schema.get("type") in ("list", "dict"):
            schema["fail_fast"] = True
        for part in schema.values():
            _fail_fast(part)
    elif isinstance(schema, (list, tuple)):
        for part in schema:
            _fail_fast(part)


class Fields(BaseModel):
    """A request's fields, each of its JSON type alone: a boolean is no number.

    Attributes:
        unused: names of the protocol's fields that mean nothing here; they are accepted, and
            mentioned in the log once, as those are that nobody knows.
    """

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    unused: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A list is done with at its first bad item: a million would be a million errors."""
        schema = handler(source)
        _fail_fast(schema)
        return schema

    def mention(self, protocol: str) -> None:
        """Log each field that is without effect, once in the life of the process."""
        for name in self.model_extra or ():
            known = name in self.unused
            self._mention(protocol, name, "means nothing here" if known else "is not known")

    @staticmethod
    def _mention(protocol: str, name: str, why: str) -> None:
        if (protocol, name) not in _mentioned and len(_mentioned) < _MOST_MENTIONED:
            _mentioned.add((protocol, name))
            log.warning("%s: the field %.60r %s and is ignored", protocol, name, why)

    def given(self, *names: str) -> dict[str, Any]:
        """Those of the fields that are given, by name."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}


F = TypeVar("F", bound=Fields)


def checked(kind: type[F], body: Mapping[str, Any], protocol: str) -> F:
    """The fields of a body.

    Raises:
        Fault: one has a wrong type or value; `param` names it.
    """
    try:
        fields = kind.model_validate(body)
    except ValidationError as error:
        raise _fault(error) from None
    fields.mention(protocol)
    return fields


def _fault(error: ValidationError) -> Fault:
    """The first thing that is wrong; of a field that may be several things, the nearest miss."""
    found = error.errors(include_url=False, include_context=False)
    # Of a union every kind complains: what is deepest, or else the first, says most.
    first = max(found, key=lambda one: len(one["loc"]))
    param = ".".join(str(part) for part in first["loc"] if not _is_type_name(part))
    if first["type"] == "missing":  # its input is what it is missing in
        return Fault("invalid_request", f"{param}: {first['msg']}", param=param)
    got = repr(first.get("input"))
    short = got if len(got) <= 100 else f"{got[:100]}..."
    return Fault("invalid_request", f"{param}: {first['msg']}, got {short}", param=param)


def _is_type_name(part: object) -> bool:
    """Whether a part of pydantic's location names a kind of a union, not a field."""
    return isinstance(part, str) and (
        "[" in part or part in ("str", "int", "float", "bool", "dict", "none")
    )
