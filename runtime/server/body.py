"""The body of a request: JSON within limits, or a clear refusal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from starlette.types import Receive

from halfbyte.server.fault import Fault

_MAX_DIGITS = 300  # of a number
# Python makes and checks more of them only in seconds in which nothing else happens.
_MAX_VALUES = 250_000
_MAX_PARTS = 50_000  # lists, objects and their names, which cost more
_QUOTE = ord('"')
_OTHERS = bytes(set(range(256)) - set(b'"[]{},:'))
_STEPS = np.zeros(256, np.int8)  # into JSON's levels
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class ClientGone(Exception):
    """The client closed the connection before its request was whole."""


async def read_body(receive: Receive, max_nbytes: int, keep: Callable[[int], None]) -> bytes:
    """The whole body.

    Args:
        receive: see ASGI.
        max_nbytes: most bytes of it.
        keep: finds room for so many more bytes, or raises Fault.

    Raises:
        Fault: it is larger than max_nbytes; ClientGone: it ends early.
    """
    parts: list[bytes] = []
    n = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        n += len(part)
        if n > max_nbytes:
            raise Fault("too_large", f"body: expected at most {max_nbytes:,} bytes, got more")
        keep(len(part))
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def read_object(body: bytes, content_type: str, max_depth: int) -> dict[str, Any]:
    """The JSON object that a body holds.

    A missing content type and a form's, which curl sends with -d, are taken for JSON.

    Raises:
        Fault: it is something else, and what.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in ("", "application/json", "application/x-www-form-urlencoded", "text/plain"):
        expected = "content-type: expected application/json"
        raise Fault("media_type", f"{expected}, got {kind[:100]!r}")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"body: expected UTF-8, got a byte that is none at {error.start}"
        raise Fault("invalid_request", message) from None
    check_structure(body, max_depth)
    try:
        value = json.loads(text, parse_constant=_refuse, parse_int=_whole, parse_float=_finite)
    except json.JSONDecodeError as error:
        message = f"body: expected JSON, got {error.msg} at character {error.pos}"
        raise Fault("invalid_request", message) from None
    if _SURROGATE.search(text):
        _check_characters(value)
    if not isinstance(value, Mapping):
        raise Fault("invalid_request", f"body: expected a JSON object, got a {_named(value)}")
    return dict(value)


def check_structure(body: bytes, max_depth: int) -> None:
    """Refuse JSON that nests deeper, or has more values than are of use, before it is parsed; in
    linear time.
    """
    n_open = body.count(b"[") + body.count(b"{")
    if n_open <= max_depth and n_open + body.count(b":") + body.count(b",") <= _MAX_PARTS:
        return
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(None, _OTHERS)
    marks = np.frombuffer(bare, np.uint8)
    # Of the quotes so far, whether they are odd: then a mark is within a text.
    is_text = np.cumsum(marks == _QUOTE, dtype=np.uint8) & 1
    marks = marks[(is_text == 0) & (marks != _QUOTE)]
    steps = _STEPS[marks]
    n_open, n_names, n_commas = (
        int(np.count_nonzero(one)) for one in (steps == 1, marks == ord(":"), marks == ord(","))
    )
    if n_open + n_names > _MAX_PARTS:
        message = f"body: expected at most {_MAX_PARTS:,} lists, objects and names in them"
        raise Fault("invalid_request", message)
    if n_open + n_commas > _MAX_VALUES:
        raise Fault("invalid_request", f"body: expected at most {_MAX_VALUES:,} values")
    if steps.size and int(np.cumsum(steps, dtype=np.int32).max()) > max_depth:
        raise Fault("invalid_request", f"body: expected JSON of at most {max_depth} levels")


def _check_characters(value: object) -> None:
    """Refuse halves of characters, which JSON can name but no text can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        got = f"the lone surrogate {error.object[error.start]!a}"
        raise Fault("invalid_request", f"body: expected whole characters, got {got}") from None


def _refuse(name: str) -> Any:
    raise Fault("invalid_request", f"body: expected JSON, which has no {name}")


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        message = f"body: expected numbers of at most {_MAX_DIGITS} digits"
        raise Fault("invalid_request", message)
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        expected = "numbers that 64 bits hold"
        raise Fault("invalid_request", f"body: expected {expected}, got {digits[:100]}")
    return number


def _named(value: object) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")
