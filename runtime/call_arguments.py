"""Arguments of public calls: what counts as a whole number, and names that are not ours."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Collection, Mapping
from typing import TypeGuard

from halfbyte.errors import RequestError


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number, Python's or NumPy's; True and False are none."""
    # bool is an int to Python, but True as a count is a mistake of the caller.
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


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
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    if name in others:
        hint = others[name]
    elif near:
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"known are {', '.join(known)}"
    return RequestError(name, expected=f"the name of {what}", hint=hint)
