"""What a caller asks an answer's text to be, checked as far as that needs no vocabulary."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from halfbyte.call_arguments import check_flag, literal
from halfbyte.errors import RequestError
from halfbyte.import_lock import Later
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from halfbyte.constraints import json_schema, written_out
else:  # few answers have to be something
    json_schema = Later("halfbyte.constraints.json_schema")
    written_out = Later("halfbyte.constraints.written_out")

Kind = Literal["json_schema", "regex", "grammar", "choices"]
KINDS: tuple[Kind, ...] = ("json_schema", "regex", "grammar", "choices")
MAX_NCHARS = 1 << 18  # of a constraint's text: what is longer takes seconds to compile
MAX_RULES = 4000  # of a grammar, likewise
_RULE = re.compile(
    r"^[ \t]*[?!]*[\w-]+[ \t]*(?:\.[ \t]*-?\d+[ \t]*|\[[^\]\n]*\][ \t]*)*:", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Constraint:
    """A language that an answer belongs to.

    Attributes:
        kind: the argument that it came by.
        source: its text; for "json_schema" and "choices" as JSON.
        has_whitespace: whether whitespace may stand between the parts of a schema's JSON.
    """

    kind: Kind
    source: str
    has_whitespace: bool = False

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[Constraint | None, dict[str, Any]]:
        """The constraint among a call's options, None without one, and the other options.

        Raises:
            RequestError: two constraints, or one that cannot be read; `param` names it.
        """
        rest = dict(options)
        stated = {kind: value for kind in KINDS if (value := rest.pop(kind, None)) is not None}
        has_whitespace = check_flag("json_whitespace", rest.pop("json_whitespace", False))
        if len(stated) > 1:
            first, second = list(stated)[:2]
            raise RequestError(second, expected=f"nothing beside {first}", got=stated[second])
        if has_whitespace and "json_schema" not in stated:
            raise RequestError("json_whitespace", expected="a json_schema beside it", got=True)
        for kind, value in stated.items():
            return cls(kind, _SOURCES[kind](value), has_whitespace), rest
        return None, rest


def _schema(value: object) -> str:
    return _bounded("json_schema", json_schema.source_of(value))


def _regex(value: object) -> str:
    text = _text("regex", value, "a regular expression")
    written_out.check_length("regex", written_out.length_of(text))
    return text


def _grammar(value: object) -> str:
    text = _text("grammar", value, "a grammar as Lark or GBNF writes it")
    n_rules = sum(1 for _ in _RULE.finditer(text))
    if n_rules > MAX_RULES:
        raise RequestError("grammar", expected=f"at most {MAX_RULES:,} rules", got=n_rules)
    return text


def _choices(value: object) -> str:
    expected = "a list of texts that are not empty"
    is_list = isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))
    items = list(value) if is_list else []  # type: ignore[call-overload]
    if not items:
        raise RequestError("choices", expected=expected, got=literal(value))
    for item in items:
        if not isinstance(item, str) or not item:
            raise RequestError("choices", expected=expected, got=literal(item))
        written_out.check_length("choices", len(item))
    return _bounded("choices", json_schema.dumped("choices", items))


def _text(name: str, value: object, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise RequestError(
            name, expected=f"{what}, as a text that is not empty", got=literal(value)
        )
    return _bounded(name, value)


def _bounded(name: str, text: str) -> str:
    if len(text) > MAX_NCHARS:
        raise RequestError(name, expected=f"at most {MAX_NCHARS:,} characters", got=len(text))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        at = error.start
        raise RequestError(name, expected="Unicode characters", got=literal(text[at])) from error
    return text


_SOURCES = {"json_schema": _schema, "regex": _regex, "grammar": _grammar, "choices": _choices}
