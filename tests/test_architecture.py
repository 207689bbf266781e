"""Who may import whom: read off the source, as ast."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STANDARD = set(__import__("sys").stdlib_module_names)

# Folder -> what its modules may import beside the standard library and themselves.
ALLOWED = {
    "kernels": {"numpy", "numba", "llvmlite"},
    "convert": {
        "numpy", "gguf", "sentencepiece", "tokenizers", "google",
        "halfbyte.errors", "halfbyte.tokenizer",
        "halfbyte.kernels.formats", "halfbyte.kernels.quantize",
        "halfbyte.kernels.gptq", "halfbyte.kernels.grids", "halfbyte.kernels.pool",
        # The file is where the two meet: what was written is read back and measured.
        "halfbyte.gguf_file", "halfbyte.gguf_metadata", "halfbyte.config", "halfbyte.system",
        "halfbyte.loading", "halfbyte.golden", "halfbyte.catalogue",
    },
    "runtime": {
        "numpy", "sentencepiece", "tokenizers", "jinja2", "huggingface_hub", "torch",
        "halfbyte.kernels",
    },
}  # fmt: skip
PACKAGE = {"kernels": "halfbyte.kernels", "convert": "halfbyte.converting", "runtime": "halfbyte"}
# Code generation stays in few files.
LLVMLITE = {
    "emit.py",
    "scalars.py",
    "simd.py",
    "tiles.py",
    "transpose.py",
    "dots.py",
    "atomics.py",
    "calls.py",
    "target.py",
    "jit.py",
    "int8_peak.py",
}


def imports(path: Path, *, inside_functions: bool) -> Iterator[str]:
    """Full names of the modules that a file imports; for a type checker only is lazily."""
    tree = ast.parse(path.read_text("utf-8"))
    nested = {
        child
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_type_checking(node)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if (node in nested) != inside_functions:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                package = PACKAGE[path.relative_to(ROOT).parts[0]]
                yield f"{package}.{node.module}" if node.module else package
            else:
                yield str(node.module)


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ALLOWED)
def test_arrows(folder: str) -> None:
    allowed = ALLOWED[folder] | {PACKAGE[folder]}
    for path in files(folder):
        for lazy in (False, True):
            for name in imports(path, inside_functions=lazy):
                if name.partition(".")[0] in STANDARD:
                    continue
                # convert is for loading folders and the command line: lazily only.
                if folder == "runtime" and name.startswith("halfbyte.converting"):
                    assert lazy, f"{path.name} imports {name}"
                    continue
                inside = any(name == a or name.startswith(f"{a}.") for a in allowed)
                assert inside, f"{folder}/{path.name} imports {name}"


def _is_type_checking(node: ast.AST) -> bool:
    is_name = isinstance(node, ast.If) and isinstance(node.test, ast.Name)
    return is_name and node.test.id == "TYPE_CHECKING"


def test_code_generation_stays_where_it_is() -> None:
    users = {
        path.name
        for path in files("kernels")
        for name in imports(path, inside_functions=False)
        if name.partition(".")[0] == "llvmlite"
    }
    assert users <= LLVMLITE


def test_nothing_imports_tests_or_benchmarks() -> None:
    for folder in ALLOWED:
        for path in files(folder):
            names = {n for lazy in (False, True) for n in imports(path, inside_functions=lazy)}
            assert not names & {"tests", "benchmarks"}, path.name
