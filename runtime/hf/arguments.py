"""Arguments of calls, checked by name, so that none is ignored."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Container, Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args

from halfbyte.hf.errors import ArgumentError

_T = TypeVar("_T")

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)
FLAGS = (True, False)

# Arguments of transformers' from_pretrained that are not to be had here, with what leaves them off.
NOT_LOADING: dict[str, object] = {
    **dict.fromkeys(("cache_dir", "proxies", "resume_download", "token", "use_auth_token")),
    "force_download": False,
    "revision": "main",
    "subfolder": "",
}


def leave_out(
    arguments: Mapping[str, Any], absent: Mapping[str, object], known: Container[str] = ()
) -> dict[str, Any]:
    """The arguments that are not known, without those of `absent` that are left off."""
    return {
        name: value
        for name, value in arguments.items()
        if name not in known and not (name in absent and value == absent[name])
    }


def one_of(name: str, value: _T, allowed: tuple[object, ...]) -> _T:
    """The value, which has to be one of these; raises RequestError where it is not."""
    is_flag = isinstance(value, bool)  # 1 == True, so that is looked at as well
    if value not in allowed or isinstance(allowed[allowed.index(value)], bool) != is_flag:
        shown = ", ".join(map(repr, allowed))
        raise ArgumentError(name, expected=f"one of {shown}", got=repr(value))
    return value


def check_count(name: str, value: object, least: int) -> None:
    """Refuse what is neither None nor a whole number from `least`."""
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if value is not None and (not is_whole or value < least):  # type: ignore[operator]
        raise ArgumentError(name, expected=f"a whole number from {least}", got=repr(value))


def argument_names(names: Iterable[str], *kinds: type) -> set[str]:
    """These names, and what the constructors of classes take by name after their first argument."""
    known = set(names)
    for kind in kinds:
        parameters = list(inspect.signature(kind).parameters.values())[1:]
        known |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    return known
