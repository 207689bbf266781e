"""What a template may do: Jinja's sandbox, in which each operation pays for itself."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from jinja2 import Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

from halfbyte.prompt.template.budget import MAX_NAME, SCALARS, SEQUENCES, Budget
from halfbyte.prompt.template.filters import Filters
from halfbyte.prompt.template.functions import functions_by_name, tests_by_name
from halfbyte.prompt.template.methods import Methods
from halfbyte.prompt.template.operators import Operators
from halfbyte.prompt.template.text import Text, own

MAX_CALL_DEPTH = 60  # of macros: about five Python frames each

_NOTHING: Any = object()  # no such item: None may be one
_LOOP_VALUES = frozenset(
    "index index0 revindex revindex0 first last length previtem nextitem depth depth0".split()
)


class _Generation(Extension):
    """{% generation %}: marks what the model wrote, for training; here its content is rendered."""

    tags = {"generation"}  # noqa: RUF012 - Jinja declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        """The content, in a scope of its own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


class Sandbox(ImmutableSandboxedEnvironment):
    """One rendering: its budget, and the operations that draw on it.

    Jinja's generated code calls `getattr`, `getitem`, `call`, `call_binop`, `concat`, `finalize`
    and whatever `filters` and `tests` name; nothing is folded at compile time.
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, budget: Budget) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, cache_size=0,
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )  # fmt: skip
        self._budget = budget
        self._call_depth = 0
        self._literals: dict[str, Text] = {}
        self._operators = operators = Operators(budget)
        methods = Methods(budget, operators)
        self._methods = methods.by_type()
        # With the context, for else Jinja would apply it at compile time.
        self.finalize = pass_context(lambda _, value: budget.text(value))
        self.globals = dict(functions_by_name(budget, operators))
        self.filters = dict(Filters(self, budget, operators, methods).by_name())
        # What the rewriter puts into the tree.
        self.filters |= {
            " iterate": budget.each, " charge": budget.spend, " slice": operators.slice,
            " concat": operators.concat, " compare": operators.compare, " key": operators.key,
            " own": self._own, " text": budget.text,
        }  # fmt: skip
        self.tests = dict(tests_by_name(budget, operators, methods))
        self.tests["filter"] = lambda name: isinstance(name, str) and name in self.filters
        self.tests["test"] = lambda name: isinstance(name, str) and name in self.tests

    def _own(self, literal: str) -> Text:
        known = self._literals.get(literal)
        if known is None:
            self._budget.spend_text(len(literal), literal)
            known = self._literals[literal] = own(literal)
        return known

    def concat(self, pieces: Iterable[str]) -> str:
        """The text of a body."""
        return self._budget.concat(pieces)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: methods in the lists, else items."""
        found = self._attribute(obj, attribute)
        if found is _NOTHING:
            found = self._item(obj, attribute)
        return self._undefined(obj, attribute) if found is _NOTHING else found

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`: items, else methods in the lists."""
        found = self._item(obj, argument)
        if found is _NOTHING and isinstance(argument, str):
            found = self._attribute(obj, argument)
        return self._undefined(obj, argument) if found is _NOTHING else found

    def _attribute(self, obj: Any, name: str) -> Any:
        if isinstance(obj, Undefined):
            return obj[name]  # raises, with the name of what is missing
        if isinstance(obj, Namespace) and not name.startswith("_"):
            return getattr(obj, name, _NOTHING)
        if isinstance(obj, LoopContext) and name in _LOOP_VALUES:
            return getattr(obj, name)
        method = self._methods.get(str if isinstance(obj, str) else type(obj), {}).get(name)
        if method is not None:
            self._budget.spend(8)
            return partial(method, obj)
        if not hasattr(type(obj), name):
            return _NOTHING
        if name.startswith("__"):
            raise SecurityError(f"the attribute {name} is out of reach")
        return self.unsafe_undefined(obj, name)

    def _item(self, obj: Any, key: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj[key]
        is_sequence = isinstance(obj, SEQUENCES) and isinstance(key, int)
        if is_sequence or (isinstance(obj, dict) and isinstance(key, SCALARS)):
            if not is_sequence:
                self._operators.lookup(obj, key)
            try:
                return obj[key]
            except LookupError:
                pass
        return _NOTHING

    def _undefined(self, obj: object, name: Any) -> Undefined:
        # The name will stand in an error's text.
        is_short = isinstance(name, int) or (isinstance(name, str) and len(name) <= MAX_NAME)
        return self.undefined(obj=obj, name=name if is_short else f"({type(name).__name__})")

    def call(self, context: Context, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """`obj(...)`: macros, and the functions and methods in the lists."""
        if isinstance(obj, Macro):
            if self._call_depth == MAX_CALL_DEPTH:
                raise RecursionError(f"macros call each other deeper than {MAX_CALL_DEPTH} levels")
            self._call_depth += 1
            try:
                return context.call(obj, *args, **kwargs)
            finally:
                self._call_depth -= 1
        for name in ("_loop_vars", "_block_vars"):
            kwargs.pop(name, None)
        if isinstance(obj, (partial, Undefined)):
            return obj(*args, **kwargs)
        raise TypeError(f"a {type(obj).__name__} cannot be called")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`."""
        return self._operators.binary(operator, left, right)
