"""From a template's source to code: checked before it is parsed, compiled or folded."""

from __future__ import annotations

from collections.abc import Iterable
from types import CodeType
from typing import NamedTuple

from jinja2 import Environment, nodes

from halfbyte.prompt.template.budget import MAX_NAME
from halfbyte.prompt.template.rewriter import MAX_DEPTH, Rewriter, need, weight_of

MAX_SOURCE = 1 << 18  # characters
MAX_TOKENS = 25_000  # compiled in about a second
MAX_TAG_TOKENS = 2_000
MAX_NESTING = 40  # of brackets and blocks in the source
CODE_NAME = "<chat template>"

_BLOCKS = {"if", "for", "macro", "call", "filter", "with", "generation"}


class Compiled(NamedTuple):
    """Code of a rewritten template.

    Attributes:
        weight: units that it costs in any case.
        variables: what it reads of what is passed in.
    """

    code: CodeType
    weight: int
    variables: frozenset[str]


def compile_source(source: str, environment: Environment) -> Compiled:
    """A template's code, once its source is checked."""
    if len(source) > MAX_SOURCE:
        raise ValueError(f"{len(source)} characters of source, of {MAX_SOURCE} at most")
    _check_tokens(environment.lex(source))
    tree = environment.parse(source)
    _check_depth(tree)
    weight, variables = weight_of(tree), _variables(tree)
    tree = Rewriter().visit(tree)
    return Compiled(environment.compile(tree, filename=CODE_NAME), weight, variables)


def _variables(tree: nodes.Template) -> frozenset[str]:
    """Names that are read, and may not be set: set nowhere, or in a branch alone, or made of
    themselves, or asked for by `is defined`.
    """
    read: set[str] = set()
    own: set[str] = set()
    asked: set[str] = set()
    # A node, whether it stands in a branch, and the parameters of the macros around it.
    stack: list[tuple[nodes.Node, bool, frozenset[str]]] = [(tree, False, frozenset())]
    while stack:
        node, in_branch, given = stack.pop()
        match node:
            case nodes.Name(ctx="load"):
                read |= {node.name} - given
            case nodes.Name(ctx="store") if not in_branch:
                own.add(node.name)
            case nodes.Test(name="defined" | "undefined", node=nodes.Name(name=name)):
                asked.add(name)
            case nodes.Assign(target=nodes.Name(name=name)):
                made_of = (node.node, *node.node.find_all(nodes.Name))
                asked |= {
                    name for one in made_of if isinstance(one, nodes.Name) and one.name == name
                }
            case nodes.Macro():
                given |= {one.name for one in node.args}
        in_branch |= isinstance(node, nodes.If)
        stack += ((child, in_branch, given) for child in node.iter_child_nodes())
    return frozenset(read - (own - asked))


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
            need(len(text) <= MAX_NAME, f"shorter than {MAX_NAME} characters", line)
        brackets += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(text, 0) * (
            kind == "operator"
        )
        tag.append(text if kind in ("name", "operator") else "")
        need(len(tag) <= MAX_TAG_TOKENS, f"tags of at most {MAX_TAG_TOKENS} tokens", line)
        need(max(brackets, blocks) <= MAX_NESTING, f"at most {MAX_NESTING} levels", line)
        need(total <= MAX_TOKENS, f"at most {MAX_TOKENS} tokens", line)


def _block_step(tag: list[str]) -> int:
    """How a tag changes the depth of blocks."""
    name = next((word for word in tag if word), "")
    if name == "set":  # a block unless a value is assigned
        return int(next((word for word in tag if word in ("=", "|")), "") != "=")
    return -1 if name.startswith("end") else int(name in _BLOCKS)


def _check_depth(tree: nodes.Node) -> None:
    """Refuses trees that could exhaust the compilers, Jinja's and CPython's."""
    level: list[nodes.Node] = [tree]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    need(False, f"at most {MAX_DEPTH} levels", level[0].lineno)
