"""Functions that a template may call, and tests (`value is test`), each with its price."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import Undefined
from jinja2.tests import TESTS
from jinja2.utils import Namespace

from halfbyte.prompt.template.budget import NUMBERS, Budget
from halfbyte.prompt.template.methods import Methods
from halfbyte.prompt.template.operators import Operators

_STRFTIME = re.compile(r"(?:[^%\0]|%[-_0^#]?[a-zA-Z%]){0,100}")

_FREE = (
    "defined undefined none boolean false true integer float string mapping number sequence "
    "iterable callable sameas escaped"
).split()
_COMPARISONS = {
    "in": "in", "==": "eq", "eq": "eq", "equalto": "eq", "!=": "ne", "ne": "ne",
    ">": "gt", "gt": "gt", "greaterthan": "gt", ">=": "gteq", "ge": "gteq",
    "<": "lt", "lt": "lt", "lessthan": "lt", "<=": "lteq", "le": "lteq",
}  # fmt: skip
_JINJA_TESTS: Any = TESTS


class Refusal(Exception):
    """What the template passed to raise_exception."""


def functions_by_name(budget: Budget, operators: Operators) -> dict[str, Callable[..., Any]]:
    """The functions by the names that a source gives them; partial, as the sandbox calls those."""

    def make_dict(source: object = (), /, **values: object) -> dict[Any, Any]:
        pairs = source.items() if isinstance(source, dict) else source
        made: dict[Any, Any] = {}
        for key, value in budget.each(pairs, 4):
            made[operators.lookup(made, key)] = value
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


def tests_by_name(
    budget: Budget, operators: Operators, methods: Methods
) -> dict[str, Callable[..., Any]]:
    """The tests by the names that a source gives them, but for `filter` and `test`."""

    def cased(name: str, value: object) -> bool:
        return bool(methods.scan(f"is{name}", budget.text(value)))

    tests = {name: _JINJA_TESTS[name] for name in _FREE}
    tests |= {name: partial(operators.compare_two, op) for name, op in _COMPARISONS.items()}
    tests |= {name: partial(_numeric, name) for name in ("odd", "even", "divisibleby")}
    tests |= {name: partial(cased, name) for name in ("upper", "lower")}
    return tests


def _numeric(name: str, *values: Any) -> Any:
    # The tests compute value % n, which would format a text.
    if not all(isinstance(value, (*NUMBERS, Undefined)) for value in values):
        raise TypeError(f"{name} takes a number")
    return _JINJA_TESTS[name](*values)
