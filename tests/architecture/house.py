"""What these tests read off the source: modules, what they import, their functions."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import resolve_name
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"kernels": "halfbyte.kernels", "convert": "halfbyte.converting", "runtime": "halfbyte"}
FACADE = "halfbyte"  # offers names of everything, to users and to the command line

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Import:
    """One imported module. Lazy: inside a function, or for a type checker only."""

    name: str
    line: int
    lazy: bool


@dataclass(frozen=True)
class Module:
    """A file below one of the three folders; `path` is relative to the root, `name` importable."""

    path: str
    name: str

    @cached_property
    def tree(self) -> ast.Module:
        """Its source, parsed."""
        return ast.parse((ROOT / self.path).read_text("utf-8"))

    @cached_property
    def imports(self) -> list[Import]:
        """What it imports beside the standard library."""
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        found = imports_in(self.tree, package)
        return [i for i in found if i.name.partition(".")[0] not in sys.stdlib_module_names]

    @property
    def is_package(self) -> bool:
        """Whether it is the __init__.py of a folder."""
        return self.path.endswith("/__init__.py")

    @property
    def folder(self) -> str:
        """The folder it lies in, relative to the root."""
        return self.path.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """The file's name without .py."""
        return Path(self.path).stem

    @property
    def n_lines(self) -> int:
        """Lines of the file."""
        return len((ROOT / self.path).read_text("utf-8").splitlines())


def importable_name(path: str) -> str:
    """The dotted name of a file or folder, by its path relative to the root."""
    top, *rest = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return ".".join([PACKAGES[top], *rest])


_LATER = "Later"
_IMPORTING = "import_module", "imported", _LATER


def imports_in(tree: ast.AST, package: str) -> Iterator[Import]:
    """Every import of a file of that package, with `from a import b` as a.b if that is a module.

    `import_module` counts too, and the package's own `imported` and `Later`: of the name that
    stands there, or of all that an f-string may name.
    """
    for node, lazy in _with_laziness(tree, False):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            full = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else base for name in full]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(_IMPORTING):
            names = [name for a in node.args[:1] for name in _named(a)]
            lazy |= ast.unparse(node.func).endswith(_LATER)
        else:
            continue
        yield from (Import(name, node.lineno, lazy) for name in dict.fromkeys(names))


def _named(argument: ast.expr) -> list[str]:
    if isinstance(argument, ast.Constant):
        return [str(argument.value)]
    if isinstance(argument, ast.JoinedStr) and isinstance(argument.values[0], ast.Constant):
        start = str(argument.values[0].value)
        return [name for name in MODULES if name.startswith(start)]
    return []


def _with_laziness(node: ast.AST, lazy: bool) -> Iterator[tuple[ast.AST, bool]]:
    yield node, lazy
    lazy |= isinstance(node, Function)
    lazy |= isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
    for child in ast.iter_child_nodes(node):
        yield from _with_laziness(child, lazy)


def functions_in(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Every function with its name as `Class.method` or `outer.inner`."""
    for child in ast.iter_child_nodes(node):
        name = prefix
        if isinstance(child, Function | ast.ClassDef):
            name = f"{prefix}.{child.name}" if prefix else child.name
            if isinstance(child, Function):
                yield name, child
        yield from functions_in(child, name)


MODULES = {
    (name := importable_name(path)): Module(path, name)
    for top in PACKAGES
    for path in sorted(p.relative_to(ROOT).as_posix() for p in (ROOT / top).rglob("*.py"))
}
