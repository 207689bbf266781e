"""The syntax tree, rewritten so that a template pays for what it does.

A loop pays for its body at each turn and a macro at each call, by the number of nodes; operations
that Jinja compiles to bare Python become filters of the sandbox.
"""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateSyntaxError, nodes
from jinja2.visitor import NodeTransformer

MAX_DEPTH = 90  # of expressions; CPython's parser takes 200 brackets

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


def weight_of(*roots: nodes.Node) -> int:
    """Units of one evaluation, as if every branch were taken and every loop turned once."""
    total, stack = 0, list(roots)
    while stack:
        node = stack.pop()
        total += _WEIGHTS.get(type(node), 1)
        stack.extend(node.iter_child_nodes())
    return total


class Rewriter(NodeTransformer):
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

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:
        """The template's own text."""
        return _filter(" own", _constant(node.data, node))

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        """The template's own text, or another constant."""
        return _filter(" own", node) if isinstance(node.value, str) else node

    def visit_FilterBlock(self, node: nodes.FilterBlock) -> nodes.Node:
        """For Jinja, a filter's result is text already."""
        self.generic_visit(node)
        node.filter = _filter(" text", node.filter)
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        """Each turn pays for the body, the condition and the else branch."""
        if node.recursive:
            self._refuse(node, "recursive for")
        turn = [*node.body, *node.else_, node.target, *([node.test] if node.test else [])]
        weight = 2 + weight_of(*turn)
        self.generic_visit(node)
        node.iter = _filter(" iterate", node.iter, _constant(weight, node))
        return node

    def visit_If(self, node: nodes.If) -> nodes.Node:
        """CPython's compiler recurses at each elif."""
        need(len(node.elif_) <= MAX_DEPTH, f"at most {MAX_DEPTH} branches", node.lineno)
        return self.generic_visit(node)

    def visit_Macro(self, node: nodes.Macro | nodes.CallBlock) -> nodes.Node:
        """Each call pays for the body."""
        charge = nodes.ExprStmt(lineno=node.lineno)
        charge.node = _filter(" charge", _constant(weight_of(node), node))
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
            node.node = self.visit(node.node)
            node.arg = self._unmarked(node.arg)
            return node
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
        parts = ((_constant(op.op, op), self._unmarked(op.expr)) for op in node.ops)
        operands = [part for pair in parts for part in pair]
        return _filter(" compare", self._unmarked(node.expr), *operands)

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:
        """A dict's key is hashed: only scalars, since a tuple may be as large as you like."""
        self.generic_visit(node)
        node.key = _filter(" key", node.key)
        return node

    def _unmarked(self, node: nodes.Expr) -> Any:
        """An operand of which it does not matter who wrote it."""
        return node if isinstance(node, nodes.Const) else self.visit(node)

    def _refuse(self, node: nodes.Node, what: str) -> None:
        raise TemplateSyntaxError(f"{what} has no place in a chat template", node.lineno)


def _filter(name: str, node: Any, *args: Any) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _constant(value: object, node: nodes.Node) -> nodes.Const:
    return nodes.Const(value, lineno=node.lineno)


def need(condition: bool, expected: str, line: int) -> None:
    """Refuses a source that is too large."""
    if not condition:
        raise TemplateSyntaxError(f"too large: expected {expected}", line)
