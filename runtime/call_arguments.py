"""Arguments of public calls: what counts as a number, a flag, a path, and names not ours."""

from __future__ import annotations

import numbers
import os
from collections.abc import Collection, Mapping
from typing import TypeGuard

from halfbyte.errors import RequestError
from halfbyte.progress import Progress, silent


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, Python's or NumPy's; True and False are none."""
    # bool is an int to Python, but True as a count is a mistake of the caller.
    if type(value) is int:  # thousands of ids are asked
        return True
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def literal(value: object) -> str:
    """What came, for an error; a number of thousands of digits and odd objects by their type."""
    try:
        return repr(value)
    except Exception:  # whatever an object's repr raises
        return f"a {type(value).__name__}"


def check_flag(name: str, value: object) -> bool:
    """The flag, Python's or NumPy's; RequestError where it is neither True nor False."""
    kind = type(value)  # NumPy's is told by its name, since NumPy takes long to import
    if kind is bool or (kind.__module__ == "numpy" and kind.__name__ in ("bool", "bool_")):
        return bool(value)
    raise RequestError(name, expected="True or False", got=literal(value))


def check_choice(name: str, value: object, allowed: Collection[str]) -> str:
    """The name; RequestError where it is none of these."""
    if not isinstance(value, str) or value not in allowed:
        raise RequestError(name, expected=f"one of {', '.join(allowed)}", got=literal(value))
    return value


def check_path(name: str, value: object) -> str:
    """The path as a text; RequestError where no file could have it."""
    if isinstance(value, (str, os.PathLike)):
        text: object = os.fspath(value)
        try:
            if isinstance(text, str) and text and b"\0" not in os.fsencode(text):
                return text
        except UnicodeEncodeError:  # halves of surrogate pairs
            pass
    raise RequestError(name, expected="a path", got=literal(value))


def check_progress(progress: object) -> Progress:
    """The callback, `silent` for None; RequestError where it cannot be called."""
    if progress is None:
        return silent
    if not callable(progress):
        raise RequestError("progress", expected="a function, or None", got=literal(progress))
    return progress


def unknown_argument(
    name: str, known: Collection[str], others: Mapping[str, str], *, what: str
) -> RequestError:
    """The error for an argument of that name.

    Args:
        name: what came.
        known: the names that there are.
        others: names that other programs have for things, and what to do here.
        what: what the known names are, as "an argument of load".
    """
    import difflib

    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    if name in others:
        hint = others[name]
    elif near:
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"known are {', '.join(known)}"
    return RequestError(name, expected=f"the name of {what}", hint=hint)
