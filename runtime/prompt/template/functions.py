"""Functions that a template may call, each with its price."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from jinja2.utils import Namespace

from halfbyte.prompt.template.budget import Budget
from halfbyte.prompt.template.operators import Operators

_STRFTIME = re.compile(r"(?:[^%\0]|%[-_0^#]?[a-zA-Z%]){0,100}")


class Refusal(Exception):
    """What the template passed to raise_exception."""


def functions_by_name(budget: Budget, operators: Operators) -> dict[str, Callable[..., Any]]:
    """The functions by the names that a source gives them; partial, as the sandbox calls those."""

    def make_dict(source: object = (), /, **values: object) -> dict[Any, Any]:
        pairs = source.items() if isinstance(source, dict) else source
        made = {}
        for key, value in budget.each(pairs, 4):
            made[operators.key(key)] = value
        budget.spend(4 * len(values))
        return made | values

    def make_namespace(source: object = (), /, **values: object) -> Namespace:
        budget.spend(8)
        return Namespace(make_dict(source, **values))

    def raise_exception(message: object = "") -> None:
        raise Refusal(budget.text(message))

    def strftime_now(format: object) -> str:
        if not isinstance(format, str) or not _STRFTIME.fullmatch(format):
            raise ValueError("strftime_now takes at most 100 plain characters and directives")
        budget.spend(len(format))
        return datetime.now().strftime(format)

    return {
        "range": partial(range),
        "dict": partial(make_dict),
        "namespace": partial(make_namespace),
        "raise_exception": partial(raise_exception),
        "strftime_now": partial(strftime_now),
    }
