"""Jinja's tests (`value is test`) that a template may use, each with its price."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from jinja2 import Undefined
from jinja2.tests import TESTS

from halfbyte.prompt.template.budget import NUMBERS, Budget
from halfbyte.prompt.template.methods import Methods
from halfbyte.prompt.template.operators import Operators

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
