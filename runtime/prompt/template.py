"""Chat templates: a model file's Jinja source, rendered with bounded work and memory.

The source comes with a downloaded file, so nobody has to have read it. Jinja's sandbox keeps a
template from reaching Python's internals but not from looping or doubling a text for ever. Here
every rendering has a budget of units of work, and no thread, signal or process watches over it:

- the source's size and nesting are checked before it is parsed, compiled or folded;
- the syntax tree is rewritten: a loop pays for its body at each turn and a macro at each call, by
  the number of nodes, and operations that Jinja compiles to bare Python become checked filters;
- operators, attributes, items, calls, filters and tests take allow-listed types and names, and pay
  for the size of what they read and what they would make before they make it;
- what is passed in becomes plain data first, so that no other code can be reached.

A unit stands for less than a microsecond, or 32 bytes. Renders as transformers does (trim_blocks,
lstrip_blocks, loop controls, tojson without HTML escapes, raise_exception, strftime_now), except:
`safe` and `escape` give plain text; blocks, includes, recursive loops, autoescape and *args are
refused, as are filters and methods outside the lists below.
"""

from __future__ import annotations

import copy
import json
import operator
import re
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    Sequence,
    ValuesView,
)
from datetime import datetime
from functools import partial
from itertools import chain
from string import Formatter
from types import CodeType
from typing import Any

from jinja2 import Template, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.filters import FILTERS
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

from halfbyte.errors import RequestError, TemplateError

WORK = 3_000_000  # units for any rendering: about a second
WORK_PER_INPUT = 20  # units more for each unit that the messages and variables measure
UNIT_NBYTES = 32
MAX_SOURCE = 1 << 18  # characters
MAX_TOKENS = 25_000  # compiled in about a second
MAX_TAG_TOKENS = 2_000
MAX_NESTING = 40  # of brackets and blocks in the source
MAX_DEPTH = 90  # of expressions; CPython's parser takes 200 brackets
MAX_DATA_DEPTH = 64
MAX_CALL_DEPTH = 60  # of macros: about five Python frames each
MAX_INT_BITS = 4096
MAX_NUMBER = 1_000  # characters of a number in a text
MAX_NAME = 200

_FIELD = "tokenizer.chat_template"
_CODE_NAME = "<chat template>"
_BLOCKS = {"if", "for", "macro", "call", "filter", "with", "generation"}
_NUMBERS = (int, float)
_SCALARS = (str, int, float, type(None))
_SEQUENCES = (str, list, tuple, range)
_VIEWS = (KeysView, ValuesView, ItemsView)
# Filters that would be generators give list iterators: alike in use, but their work is done, and
# none is nested in another (CPython recurses through nested iterators without a check).
_ListIterator: Any = type(iter([]))
_CONTAINERS: Any = (list, tuple, dict, *_VIEWS, _ListIterator)
_ITERABLES: Any = (str, range, *_CONTAINERS, Undefined)
_LENGTHS: Any = (*_ITERABLES, LoopContext)


class _OverBudget(Exception):
    """The rendering has used up its units."""


class _Refusal(Exception):
    """What the template passed to raise_exception."""


class ChatTemplate:
    """A compiled chat template; safe to share between threads.

    Args:
        source: Jinja source, which need not be trusted.
        path: the file that it comes from, for errors.

    Raises:
        TemplateError: it does not compile, is too large or nested too deeply, or uses what a chat
            template may not.
    """

    def __init__(self, source: str, *, path: str = "") -> None:
        self._path = path
        try:
            self._code, self._weight = _compile(source)
            return
        except Exception as caught:
            error = self._error("a Jinja chat template that compiles", caught, None)
        raise error  # outside the handler, so that no traceback keeps the compiler's frames

    def render(
        self,
        messages: Sequence[Mapping[str, object]],
        *,
        add_generation_prompt: bool = True,
        **variables: object,
    ) -> str:
        """The conversation as text.

        Args:
            messages: mappings of plain data: texts, numbers, None, lists and mappings.
            add_generation_prompt: whether the text ends with what makes the model answer.
            variables: what else the template reads, bos_token or tools for one; plain data too.

        Raises:
            RequestError: the template calls raise_exception, or a value is not plain data.
            TemplateError: the template fails, or does more than a template may.
        """
        given = {"messages": messages, "add_generation_prompt": add_generation_prompt, **variables}
        data = _PlainData()
        context = {name: data.copy(value, name) for name, value in given.items()}
        sandbox = _Sandbox(WORK + WORK_PER_INPUT * data.units)
        template = Template.from_code(sandbox, self._code, sandbox.make_globals(None))
        error: RequestError | TemplateError
        try:
            sandbox.spend(self._weight)
            return sandbox.concat(template.root_render_func(template.new_context(context)))
        except _Refusal as refusal:
            error = RequestError(
                "messages", expected="what the model's chat template accepts", got=str(refusal)
            )
        except Exception as caught:
            error = self._error("a chat template that renders", caught, template)
        raise error

    def _error(self, expected: str, caught: Exception, template: Template | None) -> TemplateError:
        if isinstance(caught, _OverBudget):
            expected, got = "a chat template that does a bounded amount of work", "more"
            hint = "the file may be hostile; a conversation of thousands of messages may be split"
        else:
            # A syntax error's text repeats the line.
            text = caught.message if isinstance(caught, TemplateSyntaxError) else str(caught)
            got = f"{type(caught).__name__}: {str(text)[:MAX_NUMBER]}"
            hint = "pass another chat template, or a prompt without one"
        line = _line(caught, template)
        return TemplateError(
            self._path, _FIELD, expected=expected, hint=hint,
            got=f"{got} (line {line})" if line else got,
        )  # fmt: skip


def _line(error: Exception, template: Template | None) -> int | None:
    """The template's line that an error comes from, if it is known."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, traceback = None, error.__traceback__
    while traceback is not None and template is not None:
        if traceback.tb_frame.f_code.co_filename == _CODE_NAME:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return line


# What comes in.


class _PlainData:
    """Copies values as plain data, and measures them in units."""

    def __init__(self) -> None:
        self.units = 0
        # Objects that occur in several places stay shared. The originals are kept for their ids.
        self._copies: dict[int, tuple[object, object]] = {}

    def copy(self, value: object, name: str, depth: int = 0) -> object:
        """The same value, made of exact built-in types."""
        self.units += 1
        if value is None or isinstance(value, (bool, *_NUMBERS, str)):
            return self._scalar(value)
        if depth == MAX_DATA_DEPTH:
            raise RequestError(name, expected=f"at most {depth} levels", got="more, or a cycle")
        known = self._copies.get(id(value))
        if known is None:
            known = self._copies[id(value)] = (value, self._container(value, name, depth + 1))
        return known[1]

    def _scalar(self, value: object) -> object:
        if isinstance(value, str):
            text = str.__str__(value)  # a subclass may have methods of its own
            self.units += _units(text)
            return text
        for kind in _NUMBERS:
            if isinstance(value, kind) and not isinstance(value, bool):
                return kind(value)
        return value

    def _container(self, value: object, name: str, depth: int) -> object:
        if isinstance(value, Mapping):
            items = [(self._key(k, name), self.copy(v, name, depth)) for k, v in value.items()]
            return dict(items)
        if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
            copied = [self.copy(item, name, depth) for item in value]
            return tuple(copied) if isinstance(value, tuple) else copied
        kinds = "texts, numbers, None, lists and mappings"
        raise RequestError(name, expected=kinds, got=f"a {type(value).__name__}")

    def _key(self, key: object, name: str) -> object:
        if not isinstance(key, (*_SCALARS, bool)):
            raise RequestError(name, expected="texts as keys", got=f"a {type(key).__name__}")
        return self._scalar(key)


def _units(text: str, growth: int = 1) -> int:
    return growth * len(text) * (1 if text.isascii() else 4) // UNIT_NBYTES


# From source to code.


class _Generation(Extension):
    """{% generation %}: marks what the model wrote, for training; here its content is rendered."""

    tags = {"generation"}  # noqa: RUF012 - Jinja declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        """The content, in a scope of its own."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _compile(source: str) -> tuple[CodeType, int]:
    """Code of the rewritten template, and its weight."""
    if len(source) > MAX_SOURCE:
        raise ValueError(f"{len(source)} characters of source, of {MAX_SOURCE} at most")
    sandbox = _Sandbox(WORK)
    _check_tokens(sandbox.lex(source))
    tree = sandbox.parse(source)
    _check_depth(tree)
    weight = _weight(tree)
    tree = _Rewriter().visit(tree)
    return sandbox.compile(tree, filename=_CODE_NAME), weight


def _check_tokens(tokens: Iterable[tuple[int, str, str]]) -> None:
    """Refuses what could exhaust the parser, whose methods call each other at each level."""
    total = brackets = blocks = 0
    tag: list[str] = []
    for line, kind, text in tokens:
        if kind == "whitespace":
            continue
        total += 1
        if kind.endswith("_begin"):
            tag = []
        elif kind == "block_end":
            blocks += _block_step(tag)
        elif kind in ("name", "integer", "float"):
            _need(len(text) <= MAX_NAME, f"shorter than {MAX_NAME} characters", line)
        brackets += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text, 0) * (
            kind == "operator"
        )
        tag.append(text if kind in ("name", "operator") else "")
        _need(len(tag) <= MAX_TAG_TOKENS, f"tags of at most {MAX_TAG_TOKENS} tokens", line)
        _need(max(brackets, blocks) <= MAX_NESTING, f"at most {MAX_NESTING} levels", line)
        _need(total <= MAX_TOKENS, f"at most {MAX_TOKENS} tokens", line)


def _block_step(tag: list[str]) -> int:
    """How a tag changes the depth of blocks."""
    name = next((word for word in tag if word), "")
    if name == "set":  # a block unless a value is assigned
        return int(next((word for word in tag if word in ("=", "|")), "") != "=")
    return -1 if name.startswith("end") else int(name in _BLOCKS)


def _need(condition: bool, expected: str, line: int) -> None:
    if not condition:
        raise TemplateSyntaxError(f"too large: expected {expected}", line)


def _check_depth(tree: nodes.Node) -> None:
    """Refuses trees that could exhaust the compilers, Jinja's and CPython's."""
    level: list[nodes.Node] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    _need(False, f"at most {MAX_DEPTH} levels", level[0].lineno)


# Units that evaluating a node costs in any case: time, and 32 bytes of each new object.
_WEIGHTS: dict[type[nodes.Node], int] = {
    **dict.fromkeys((nodes.List, nodes.Tuple, nodes.Output, nodes.Test, nodes.Concat), 3),
    **dict.fromkeys((nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Pow), 3),
    **dict.fromkeys((nodes.Mod, nodes.Compare, nodes.Getattr, nodes.Getitem, nodes.Filter), 3),
    **dict.fromkeys((nodes.Dict, nodes.Call, nodes.AssignBlock, nodes.FilterBlock), 8),
    **dict.fromkeys((nodes.For,), 20),
    **dict.fromkeys((nodes.Macro, nodes.CallBlock), 40),
    **dict.fromkeys(
        (
            nodes.Template, nodes.TemplateData, nodes.Const, nodes.Name, nodes.NSRef, nodes.Pair,
            nodes.If, nodes.CondExpr, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos,
            nodes.With, nodes.Scope, nodes.Assign, nodes.ExprStmt, nodes.Break, nodes.Continue,
            nodes.Keyword, nodes.Operand,
        ),
        1,
    ),
}  # fmt: skip


def _weight(*roots: nodes.Node) -> int:
    """Units of one evaluation, as if every branch were taken and every loop turned once."""
    total, stack = 0, list(roots)
    while stack:
        node = stack.pop()
        total += _WEIGHTS.get(type(node), 1)
        stack.extend(node.iter_child_nodes())
    return total


class _Rewriter(NodeTransformer):
    """Refuses nodes outside the list, and makes the rest pay.

    Filters whose names begin with a space are the sandbox's: no source can spell them.
    """

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        """Rewrites the children of a node that may stay."""
        if type(node) not in _WEIGHTS:
            name = type(node).__name__
            tags = {"FromImport": "import", "ScopedEvalContextModifier": "autoescape"}
            self._refuse(node, tags.get(name, name.lower()))
        return super().generic_visit(node, *args, **kwargs)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """Each turn pays for the body, the condition and the else branch."""
        if node.recursive:
            self._refuse(node, "recursive for")
        turn = [*node.body, *node.else_, node.target, *([node.test] if node.test else [])]
        weight = 2 + _weight(*turn)
        self.generic_visit(node)
        node.iter = _filter(" iterate", node.iter, _constant(weight, node))
        return node

    def visit_If(self, node: nodes.If) -> nodes.Node:
        """CPython's compiler recurses at each elif."""
        _need(len(node.elif_) <= MAX_DEPTH, f"at most {MAX_DEPTH} branches", node.lineno)
        return self.generic_visit(node)

    def visit_Macro(self, node: nodes.Macro | nodes.CallBlock) -> nodes.Node:
        """Each call pays for the body."""
        charge = nodes.ExprStmt(lineno=node.lineno)
        charge.node = _filter(" charge", _constant(_weight(node), node))
        self.generic_visit(node)
        node.body.insert(0, charge)
        return node

    visit_CallBlock = visit_Macro

    def visit_Call(self, node: nodes.Call | nodes.Filter | nodes.Test) -> nodes.Node:
        """Arguments are counted in the source."""
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._refuse(node, "*args or **kwargs")
        return self.generic_visit(node)

    visit_Filter = visit_Test = visit_Call

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        """Slices, which Jinja compiles to Python's."""
        if not isinstance(node.arg, nodes.Slice):
            return self.generic_visit(node)
        ends = [node.arg.start, node.arg.stop, node.arg.step]
        parts: list[nodes.Expr] = [
            _constant(None, node) if end is None else self.visit(end) for end in ends
        ]
        return _filter(" slice", self.visit(node.node), *parts)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        """The operator ~."""
        self.generic_visit(node)
        first, *rest = node.nodes
        return _filter(" concat", first, *rest)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        """Comparisons, which Jinja compiles to Python's; all operands are evaluated."""
        self.generic_visit(node)
        operands = [part for op in node.ops for part in (_constant(op.op, op), op.expr)]
        return _filter(" compare", node.expr, *operands)

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:
        """A dict's key is hashed: only scalars, since a tuple may be as large as you like."""
        self.generic_visit(node)
        node.key = _filter(" key", node.key)
        return node

    def _refuse(self, node: nodes.Node, what: str) -> None:
        raise TemplateSyntaxError(f"{what} has no place in a chat template", node.lineno)


def _filter(name: str, node: Any, *args: Any) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _constant(value: object, node: nodes.Node) -> nodes.Const:
    return nodes.Const(value, lineno=node.lineno)


# What a template may do.

_LINE_ENDS = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_PRINTF = re.compile(r"%(?:\(\w{1,99}\))?[-#0 +]{0,5}\d{0,3}(?:\.\d{0,3})?[diouxXeEfFgGcrsa%]")
_SPEC = re.compile(r"(?:.?[<>=^])?[-+ ]?#?0?\d{0,3}[,_]?(?:\.\d{1,3})?[a-zA-Z%]?")
_STRFTIME = re.compile(r"(?:[^%\0]|%[-_0^#]?[a-zA-Z%]){0,100}")
_LOOP_VALUES = frozenset(
    "index index0 revindex revindex0 first last length previtem nextitem depth depth0".split()
)
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
    "//": operator.floordiv, "%": operator.mod, "**": operator.pow,
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "lteq": operator.le,
    "gt": operator.gt, "gteq": operator.ge,
    "in": lambda left, right: left in right, "notin": lambda left, right: left not in right,
}  # fmt: skip
_COMPARISONS = {
    "in": "in", "==": "eq", "eq": "eq", "equalto": "eq", "!=": "ne", "ne": "ne",
    ">": "gt", "gt": "gt", "greaterthan": "gt", ">=": "gteq", "ge": "gteq",
    "<": "lt", "lt": "lt", "lessthan": "lt", "<=": "lteq", "le": "lteq",
}  # fmt: skip
# Methods of texts whose result is no larger than the text; their arguments are searched for.
_SCANS = (
    "strip lstrip rstrip startswith endswith find rfind index rindex count removeprefix "
    "removesuffix partition rpartition isdigit isalpha isalnum isspace isupper islower isnumeric "
    "isdecimal istitle isidentifier isascii"
).split()
_CASES = "upper lower title capitalize casefold swapcase".split()
_SAFE_TESTS = (
    "defined undefined none boolean false true integer float string mapping number sequence "
    "iterable callable sameas escaped"
).split()
_JINJA_TESTS: Any = TESTS
_SELECTING = "map select reject selectattr rejectattr".split()
_SORTING = "sort unique min max".split()


class _Sandbox(ImmutableSandboxedEnvironment):
    """One rendering: its budget, and the operations that draw on it.

    Jinja's generated code calls `getattr`, `getitem`, `call`, `call_binop`, `concat`, `finalize`
    and whatever `filters` and `tests` name; nothing is folded at compile time.
    """

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self, budget: int) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, optimized=False, cache_size=0,
            extensions=["jinja2.ext.loopcontrols", _Generation],
        )  # fmt: skip
        self._left = budget
        self._call_depth = 0
        self.finalize = self._finalize
        self.globals = {
            "range": partial(range),
            "dict": partial(self._dict),
            "namespace": partial(self._namespace),
            "raise_exception": partial(self._raise_exception),
            "strftime_now": partial(self._strftime_now),
        }
        self.filters = dict(self._filters())
        self.tests = dict(self._tests())
        self._methods = self._methods_by_type()

    # The budget.

    def spend(self, units: int) -> None:
        """Takes units from the budget, before the work is done."""
        # A negative price would fill the budget up.
        self._left -= max(units, 0)
        if self._left < 0:
            raise _OverBudget

    def _spend_text(self, length: int, *made_of: str) -> None:
        """Pays for a text of some length."""
        width = 1 if all(text.isascii() for text in made_of) else 4
        self.spend(1 + length * width // UNIT_NBYTES)

    def _spend_search(self, text: str, wanted: int) -> None:
        """Pays for a search for that many characters: at worst, each is tried at each place."""
        self.spend(1 + _units(text, 1 + min(wanted, 100) // 8))

    def _walk(
        self, value: object, growth: int = 1, *, indent: int = 0, is_text: bool = False
    ) -> int:
        """Pays for a look at a value and all that it contains, once per path to it.

        Args:
            value: anything.
            growth: how many characters may come of one, where the value will be written.
            indent: how far it will be indented at each level.
            is_text: whether objects without a text are refused.

        Returns:
            The units.
        """
        before, level = self._left, [value]
        for depth in range(MAX_DATA_DEPTH):
            below: list[object] = []
            for item in level:
                self.spend(1 + indent * depth // UNIT_NBYTES)
                if isinstance(item, str):
                    self.spend(_units(item, growth))
                elif isinstance(item, int):
                    self.spend(item.bit_length() // 64)
                elif isinstance(item, range):
                    self.spend(len(item))  # read through where a text is looked for in it
                elif isinstance(item, _CONTAINERS):
                    below.extend(self._children(item))
                elif is_text and not isinstance(item, (*_SCALARS, range, Undefined)):
                    raise TypeError(f"a {type(item).__name__} has no text")
            if not below:
                return before - self._left
            level = below
        raise ValueError(f"data nested deeper than {MAX_DATA_DEPTH} levels")

    def _children(self, value: Any) -> Iterable[object]:
        self.spend(2 * operator.length_hint(value))
        if isinstance(value, dict):
            return chain(value, value.values())
        # Reading must not use an iterator up.
        items: Iterable[object] = copy.copy(value) if type(value) is _ListIterator else value
        return items

    def _each(self, value: Any, units: int = 1) -> Iterator[Any]:
        """The items of an iterable, each paid for."""
        if isinstance(value, LoopContext) or not isinstance(value, _ITERABLES):
            raise TypeError(f"a {type(value).__name__} is not iterable")
        # Each character is a new object unless it is in Latin-1.
        price = units + 2 * isinstance(value, str)
        for item in value:
            self.spend(price)
            yield item

    def _text(self, value: object) -> str:
        """The text that a value is written as."""
        if isinstance(value, str):
            return value
        if isinstance(value, _SCALARS):
            self.spend(4)
            return str(value)
        # Within a container, one character may be written as ten.
        self._walk(value, 10, is_text=True)
        if isinstance(value, _ListIterator):
            raise TypeError("an iterator has no text: the filter list is missing")
        return str(value)

    # What generated code calls.

    @pass_context  # else Jinja would apply it at compile time
    def _finalize(self, _: Context, value: object) -> str:
        return self._text(value)

    def concat(self, pieces: Iterable[str]) -> str:
        """The text of a body."""
        parts = list(pieces)
        self._spend_text(sum(map(len, parts)), *parts)
        return "".join(parts)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute`: methods in the lists, else items."""
        found = self._attribute(obj, attribute)
        if isinstance(found, _Nothing):
            found = self._item(obj, attribute)
        return self._undefined(obj, attribute) if isinstance(found, _Nothing) else found

    def getitem(self, obj: Any, argument: Any) -> Any:
        """`obj[argument]`: items, else methods in the lists."""
        found = self._item(obj, argument)
        if isinstance(found, _Nothing) and isinstance(argument, str):
            found = self._attribute(obj, argument)
        return self._undefined(obj, argument) if isinstance(found, _Nothing) else found

    def _attribute(self, obj: Any, name: str) -> Any:
        if isinstance(obj, Undefined):
            return obj[name]  # raises, with the name of what is missing
        if isinstance(obj, Namespace) and not name.startswith("_"):
            return getattr(obj, name, _NOTHING)
        if isinstance(obj, LoopContext) and name in _LOOP_VALUES:
            return getattr(obj, name)
        method = self._methods.get(type(obj), {}).get(name)
        if method is not None:
            self.spend(8)
            return partial(method, obj)
        if not hasattr(type(obj), name):
            return _NOTHING
        if name.startswith("__"):
            raise SecurityError(f"the attribute {name} is out of reach")
        return self.unsafe_undefined(obj, name)

    def _item(self, obj: Any, key: Any) -> Any:
        if isinstance(obj, Undefined):
            return obj[key]
        is_sequence = isinstance(obj, _SEQUENCES) and isinstance(key, int)
        if is_sequence or (isinstance(obj, dict) and isinstance(key, _SCALARS)):
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
        """`obj(...)`: macros, and the functions and methods of this class."""
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
        return self._operate(operator, left, right)

    def _operate(self, symbol: str, left: Any, right: Any) -> Any:
        if isinstance(left, _NUMBERS) and isinstance(right, _NUMBERS):
            _check_int(symbol, left, right)
        elif symbol == "%" and isinstance(left, str):
            return self._printf(left, right)
        elif symbol == "+" and type(left) is type(right) and isinstance(left, (str, list, tuple)):
            self._spend_sequence(len(left) + len(right), left, right)
        elif symbol == "*" and isinstance(left, int) and isinstance(right, (str, list, tuple)):
            self._spend_sequence(left * len(right), right)
        elif symbol == "*" and isinstance(right, int) and isinstance(left, (str, list, tuple)):
            self._spend_sequence(right * len(left), left)
        elif not isinstance(left, Undefined) and not isinstance(right, Undefined):
            kinds = f"{type(left).__name__} and {type(right).__name__}"
            raise TypeError(f"operator {symbol} takes no {kinds}")
        return _OPERATORS[symbol](left, right)

    def _spend_sequence(self, length: int, *made_of: Any) -> None:
        if isinstance(made_of[0], str):
            self._spend_text(length, *made_of)
        else:
            self.spend(1 + length // 4)

    # What rewritten nodes call.

    def _iterate(self, value: object, weight: int) -> Iterator[Any]:
        return self._each(value, weight)

    def _charge(self, weight: int) -> None:
        self.spend(weight)

    def _slice(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        part = slice(start, stop, step)
        if isinstance(value, Undefined):
            return value[part]
        if not isinstance(value, _SEQUENCES):
            raise TypeError(f"a {type(value).__name__} has no slices")
        made_of = [value] if isinstance(value, str) else [()]
        self._spend_sequence(len(range(*part.indices(len(value)))), *made_of)
        return value[part]

    def _concat(self, *values: object) -> str:
        return self.concat([self._text(value) for value in values])

    def _compare(self, left: Any, *rest: Any) -> Any:
        result: Any = True
        for symbol, right in zip(rest[::2], rest[1::2], strict=True):
            result = self._compare_two(symbol, left, right)
            if not result:
                break
            left = right
        return result

    def _compare_two(self, symbol: str, left: Any, right: Any) -> Any:
        if symbol in ("in", "notin") and isinstance(left, str) and isinstance(right, str):
            self._spend_search(right, len(left))
        else:
            self._walk(left)
            self._walk(right)
        return _OPERATORS[symbol](left, right)

    def _key(self, key: object) -> object:
        if not isinstance(key, _SCALARS):
            raise TypeError(f"a {type(key).__name__} cannot be a key")
        return key

    # Functions.

    def _dict(self, source: object = (), /, **values: object) -> dict[Any, Any]:
        pairs = source.items() if isinstance(source, dict) else source
        made = {}
        for key, value in self._each(pairs, 4):
            made[self._key(key)] = value
        self.spend(4 * len(values))
        return made | values

    def _namespace(self, source: object = (), /, **values: object) -> Namespace:
        self.spend(8)
        return Namespace(self._dict(source, **values))

    def _raise_exception(self, message: object = "") -> None:
        raise _Refusal(self._text(message))

    def _strftime_now(self, format: object) -> str:
        if not isinstance(format, str) or not _STRFTIME.fullmatch(format):
            raise ValueError("strftime_now takes at most 100 plain characters and directives")
        return datetime.now().strftime(format)

    # Methods of texts, lists and dicts.

    def _methods_by_type(self) -> dict[type, dict[str, Callable[..., Any]]]:
        text: dict[str, Callable[..., Any]] = {
            "split": self._split, "rsplit": self._rsplit, "splitlines": self._splitlines,
            "replace": self._replace, "join": self._join_texts, "format": self._format,
        }  # fmt: skip
        text |= {name: partial(self._scan, name) for name in _SCANS}
        text |= {name: partial(self._change_case, name) for name in _CASES}
        found: dict[str, Callable[..., Any]] = {
            name: partial(self._find, name) for name in ("index", "count")
        }
        views = {name: getattr(dict, name) for name in ("items", "keys", "values")}
        loop: dict[str, Callable[..., Any]] = {
            "cycle": LoopContext.cycle, "changed": self._changed,
        }  # fmt: skip
        return {
            str: text, list: found, tuple: found, LoopContext: loop,
            dict: {"get": self._get, **views},
        }  # fmt: skip

    def _scan(self, name: str, text: str, *args: Any) -> Any:
        words = [word for arg in args for word in (arg if isinstance(arg, tuple) else (arg,))]
        self._spend_search(text, sum(len(word) for word in words if isinstance(word, str)))
        self.spend(len(words))
        return getattr(text, name)(*args)

    def _change_case(self, name: str, text: str) -> str:
        self._spend_text(3 * len(text), text)  # ΐ has three capitals
        result: str = getattr(text, name)()
        return result

    def _split(self, text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
        self._spend_pieces(text, sep, maxsplit)
        return text.split(sep, maxsplit)

    def _rsplit(self, text: str, sep: str | None = None, maxsplit: int = -1) -> list[str]:
        self._spend_pieces(text, sep, maxsplit)
        return text.rsplit(sep, maxsplit)

    def _spend_pieces(self, text: str, sep: str | None, maxsplit: int) -> None:
        self._spend_search(text, len(sep or ""))
        pieces = text.count(sep) if sep else len(text) // 2
        self.spend(3 * (pieces if maxsplit < 0 else min(pieces, maxsplit)) + _units(text))

    def _splitlines(self, text: str, keepends: bool = False) -> list[str]:
        self._spend_lines(text, 0)
        return text.splitlines(keepends)

    def _spend_lines(self, text: str, width: int) -> None:
        """Pays for the lines of a text, each widened by so much."""
        self.spend(1 + len(text) // 8)
        n_lines = sum(1 for _ in _LINE_ENDS.finditer(text)) + 1
        self.spend(3 * n_lines + 2 * _units(text) + n_lines * max(width, 0) * 4 // UNIT_NBYTES)

    def _replace(self, text: str, old: str, new: str, count: int = -1) -> str:
        self._spend_search(text, len(old))
        n = text.count(old) if count < 0 else min(text.count(old), count)
        self._spend_text(len(text) + n * max(0, len(new) - len(old)), text, new)
        return text.replace(old, new, count)

    def _join_texts(self, separator: str, values: object) -> str:
        parts = list(self._each(values))
        self.spend(len(parts))
        length = sum(len(part) for part in parts if isinstance(part, str))
        texts = [part for part in parts if isinstance(part, str)]
        self._spend_text(length + len(separator) * len(parts), separator, *texts)
        return separator.join(parts)

    def _format(self, text: str, /, *args: object, **kwargs: object) -> str:
        """str.format for plain fields: names or numbers, without attributes or items."""
        pieces: list[str] = []
        unnamed = iter(args)
        for literal, field, spec, conversion in Formatter().parse(text):
            self.spend(2)
            pieces.append(literal)
            if field is None:
                continue
            if conversion not in (None, "s") or not re.fullmatch(r"\d{0,3}|[^\W\d]\w*", field):
                raise SecurityError("format fields are names or numbers here")
            if field == "":
                value = next(unnamed, _NOTHING)
            elif field.isdecimal():
                value = args[int(field)]
            else:
                value = kwargs[field]
            pieces.append(self._format_field(value, spec or ""))
        return self.concat(pieces)

    def _format_field(self, value: object, spec: str) -> str:
        if not spec or not isinstance(value, _SCALARS):
            return self._text(value)
        if not _SPEC.fullmatch(spec):
            raise ValueError(f"format specification {spec[:MAX_NAME]!r} is not plain")
        self.spend(64 + self._walk(value))
        return format(value, spec)

    def _find(self, name: str, values: Any, wanted: object, *ends: int) -> Any:
        self._walk(values)
        self._walk(wanted)
        return getattr(values, name)(wanted, *ends)

    def _get(self, values: dict[Any, Any], key: object, default: object = None) -> object:
        return values.get(self._key(key), default)

    def _changed(self, loop: LoopContext, *values: object) -> bool:
        self._walk(values)
        return loop.changed(*values)

    # Filters.

    def _filters(self) -> dict[str, Callable[..., Any]]:
        filters: dict[str, Callable[..., Any]] = {
            " iterate": self._iterate, " charge": self._charge, " slice": self._slice,
            " concat": self._concat, " compare": self._compare, " key": self._key,
            "tojson": self._tojson, "trim": self._trim, "replace": self._replace_any,
            "join": self._join, "format": self._printf_filter, "indent": self._indent,
            "default": FILTERS["default"], "d": FILTERS["default"], "title": self._title,
            "length": self._length, "count": self._length, "first": self._first,
            "last": self._last, "list": self._list, "items": self._items,
            "reverse": self._reverse, "dictsort": self._dictsort, "batch": self._batch,
            "sum": self._sum, "int": self._int, "float": self._float, "round": self._round,
            "abs": self._abs, "string": self._text, "safe": self._text,
        }  # fmt: skip
        filters |= {name: partial(self._case, name) for name in ("upper", "lower", "capitalize")}
        filters |= {name: self._escape for name in ("e", "escape", "forceescape")}
        filters |= {name: _with_context(partial(self._select, name)) for name in _SELECTING}
        filters |= {name: partial(self._sort, name) for name in _SORTING}
        return filters

    def _tojson(
        self,
        value: object,
        ensure_ascii: bool = False,
        indent: int | str | None = None,
        separators: Sequence[str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        width = len(indent) if isinstance(indent, str) else indent or 0
        if width > 16 or len("".join(separators or ())) > 16:
            raise ValueError("tojson takes an indent and separators of at most 16 characters")
        self._walk(value, 12 if ensure_ascii else 6, indent=max(width, 0) + 1)
        pair = None if separators is None else (separators[0], separators[1])
        return json.dumps(
            value, ensure_ascii=bool(ensure_ascii), indent=indent, separators=pair,
            sort_keys=bool(sort_keys),
        )  # fmt: skip

    def _trim(self, value: object, chars: str | None = None) -> str:
        result: str = self._scan("strip", self._text(value), chars)
        return result

    def _replace_any(
        self, value: object, old: object, new: object, count: int | None = None
    ) -> str:
        texts = self._text(value), self._text(old), self._text(new)
        return self._replace(*texts, -1 if count is None else count)

    def _case(self, name: str, value: object) -> str:
        return self._change_case(name, self._text(value))

    def _title(self, value: object) -> str:
        text = self._text(value)
        self.spend(4 * len(text))  # as many words as characters
        return str(FILTERS["title"](text))

    def _escape(self, value: object) -> str:
        text = self._text(value)
        self._spend_text(6 * len(text), text)
        return str(FILTERS["escape"](text))

    def _indent(
        self, value: object, width: int | str = 4, first: bool = False, blank: bool = False
    ) -> str:
        if not isinstance(value, str):
            raise TypeError("indent takes a text")
        self._spend_lines(value, len(width) if isinstance(width, str) else width)
        return str(FILTERS["indent"](value, width, first, blank))

    def _join(self, value: object, d: object = "", attribute: str | int | None = None) -> str:
        items: Iterable[object] = self._each(value)
        if attribute is not None:
            items = (self._path(item, attribute) for item in items)
        return self._join_texts(self._text(d), [self._text(item) for item in items])

    def _path(self, value: Any, attribute: str | int) -> Any:
        """`a.0.b` of a value."""
        parts = attribute.split(".") if isinstance(attribute, str) else [attribute]
        self.spend(6 * len(parts))
        for part in parts:
            is_index = isinstance(part, str) and part.isdigit() and len(part) < MAX_NAME
            value = self.getitem(value, int(part) if is_index else part)
        return value

    def _printf(self, text: str, values: Any) -> str:
        """`text % values`, whose widths and precisions have at most three digits."""
        self._spend_search(text, 8)
        n_fields = sum(1 for _ in _PRINTF.finditer(text))
        if text.count("%") > sum(field.group().count("%") for field in _PRINTF.finditer(text)):
            raise ValueError("a format's widths have three digits at most, and no stars")
        units = self._walk(values, 10, is_text=True)
        self.spend(n_fields * (units + 64) + _units(text))
        return str.__mod__(text, values)

    def _printf_filter(self, value: object, *args: object, **kwargs: object) -> str:
        if args and kwargs:
            raise TypeError("format takes positional or named values, not both")
        return self._printf(self._text(value), kwargs or args)

    def _length(self, value: Any) -> int:
        if isinstance(value, _LENGTHS):
            return len(value)
        raise TypeError(f"a {type(value).__name__} has no length")

    def _first(self, value: object) -> Any:
        return next(self._each(value), self.undefined("No first item, sequence was empty."))

    def _last(self, value: Any) -> Any:
        if isinstance(value, _ListIterator):
            raise TypeError("an iterator has no last item: the filter list is missing")
        items = value if isinstance(value, _SEQUENCES) else self._list(value)
        return items[-1] if items else self.undefined("No last item, sequence was empty.")

    def _list(self, value: object) -> list[Any]:
        return list(self._each(value))

    def _items(self, value: object) -> Iterator[Any]:
        if isinstance(value, Undefined):
            return iter([])
        if not isinstance(value, dict):
            raise TypeError("items takes a mapping")
        self.spend(3 * len(value))
        return iter(list(value.items()))

    def _reverse(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._slice(value, None, None, -1)
        items = self._list(value)[::-1]
        return items if isinstance(value, _ListIterator) else iter(items)

    def _dictsort(self, value: object, *args: Any, **kwargs: Any) -> list[Any]:
        if not isinstance(value, dict):
            raise TypeError("dictsort takes a mapping")
        self._spend_sort(self._walk(value), len(value))
        return list(FILTERS["dictsort"](value, *args, **kwargs))

    def _sort(self, name: str, value: object, *args: Any, **kwargs: Any) -> Any:
        """sort, unique, min and max: Jinja's own, paid for."""
        items = self._list(value)
        for arg in (*args, *kwargs.values()):
            if isinstance(arg, str):  # the path of an attribute
                self.spend(len(items) * (8 + len(arg)))
        self._spend_sort(self._walk(items), len(items))
        result = FILTERS[name](self, items, *args, **kwargs)
        return iter(list(result)) if name == "unique" else result

    def _spend_sort(self, units: int, length: int) -> None:
        self.spend(4 * units * (1 + length.bit_length()))

    def _batch(self, value: object, linecount: int, fill_with: object = None) -> Iterator[Any]:
        items = self._list(value)
        self.spend(4 * len(items) + max(linecount, 0))
        return iter(list(FILTERS["batch"](items, linecount, fill_with)))

    def _sum(self, value: object, attribute: str | int | None = None, start: Any = 0) -> Any:
        if isinstance(start, str):
            raise TypeError("sum adds no texts: use join")
        for item in self._each(value, 3):
            number = item if attribute is None else self._path(item, attribute)
            start = self._operate("+", start, number)
        return start

    def _int(self, value: Any, default: Any = 0, base: int = 10) -> Any:
        self._check_number(value)
        return FILTERS["int"](value, default, base)

    def _float(self, value: Any, default: Any = 0.0) -> Any:
        self._check_number(value)
        return FILTERS["float"](value, default)

    def _check_number(self, value: object) -> None:
        # CPython reads numbers in quadratic time.
        if isinstance(value, str) and len(value) > MAX_NUMBER:
            raise ValueError(f"a number of {len(value)} characters")

    def _round(self, value: Any, precision: int = 0, method: str = "common") -> Any:
        if not isinstance(value, (*_NUMBERS, Undefined)) or abs(precision) > 100:
            raise TypeError("round takes a number, and a precision of at most 100")
        return FILTERS["round"](value, precision, method)

    def _abs(self, value: Any) -> Any:
        if not isinstance(value, (*_NUMBERS, Undefined)):
            raise TypeError("abs takes a number")
        return abs(value)

    def _select(
        self, name: str, context: Context, value: object, *args: Any, **kwargs: Any
    ) -> Iterator[Any]:
        """map, select and their kin: Jinja's own, on the filters and tests of this class."""
        items = list(self._each(value, 6)) if value else []
        for name_or_path in (*args[:1], kwargs.get("attribute")):
            if isinstance(name_or_path, str):
                self.spend(3 * len(items) * len(name_or_path))
        if name == "map" and args and str(args[0]).startswith(" "):
            raise SecurityError("no such filter")
        return iter(list(FILTERS[name](context, items, *args, **kwargs)))

    # Tests.

    def _tests(self) -> dict[str, Callable[..., Any]]:
        tests = {name: _JINJA_TESTS[name] for name in _SAFE_TESTS}
        tests |= {name: partial(self._compared, symbol) for name, symbol in _COMPARISONS.items()}
        tests |= {name: partial(self._numeric, name) for name in ("odd", "even", "divisibleby")}
        tests |= {name: partial(self._cased, name) for name in ("upper", "lower")}
        tests["filter"] = lambda name: isinstance(name, str) and name in self.filters
        tests["test"] = lambda name: isinstance(name, str) and name in self.tests
        return tests

    def _compared(self, symbol: str, left: object, right: object) -> Any:
        return self._compare_two(symbol, left, right)

    def _numeric(self, name: str, *values: Any) -> Any:
        # The tests compute value % n, which would format a text.
        if not all(isinstance(value, (*_NUMBERS, Undefined)) for value in values):
            raise TypeError(f"{name} takes a number")
        return _JINJA_TESTS[name](*values)

    def _cased(self, name: str, value: object) -> bool:
        return bool(self._scan(f"is{name}", self._text(value)))


class _Nothing:
    """No such item: None may be one."""


_NOTHING = _Nothing()


def _with_context(function: Callable[..., Any]) -> Callable[..., Any]:
    return pass_context(function)


def _check_int(symbol: str, left: Any, right: Any) -> None:
    """Refuses whole numbers of thousands of digits before they are computed."""
    if not isinstance(left, int) or not isinstance(right, int):
        return
    n, m = left.bit_length(), right.bit_length()
    bits = max(n, m)
    if symbol == "*":
        bits = n + m
    elif symbol == "**":
        bits = max(bits, n * max(right, 0))
    if bits > MAX_INT_BITS:
        raise OverflowError(f"whole numbers have at most {MAX_INT_BITS} bits here")
