"""The reader of imports: what it sees is what the other tests judge."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.house import MODULES, functions_in, imports_in


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import halfbyte.model", [("halfbyte.model", False)]),
        ("from halfbyte.model import Model", [("halfbyte.model", False)]),
        ("from halfbyte.models import Model, hub", [("halfbyte.models", False),
                                                    ("halfbyte.models.hub", False)]),
        ("from . import hub", [("halfbyte.models.hub", False)]),
        ("from ..errors import HalfbyteError", [("halfbyte.errors", False)]),
        ("def f():\n    import numpy", [("numpy", True)]),
        ("class A:\n    async def f():\n        import numpy", [("numpy", True)]),
        ("class A:\n    import numpy", [("numpy", False)]),
        ("if TYPE_CHECKING:\n    import numpy", [("numpy", True)]),
        ("if typing.TYPE_CHECKING:\n    import numpy", [("numpy", True)]),
        ("try:\n    import numpy\nexcept ImportError: pass", [("numpy", False)]),
        ("def f():\n    return importlib.import_module('torch')", [("torch", True)]),
        ("def f():\n    return imported('llguidance')", [("llguidance", True)]),
        ("models = Later('halfbyte.models')", [("halfbyte.models", True)]),
        ("import_module(f'halfbyte.kernels.limits.{x}')",
         [("halfbyte.kernels.limits.bandwidth", False),
          ("halfbyte.kernels.limits.int8_peak", False)]),
    ],
)  # fmt: skip
def test_what_counts_as_an_import(source: str, expected: list[tuple[str, bool]]) -> None:
    found = imports_in(ast.parse(source), "halfbyte.models")
    assert [(i.name, i.lazy) for i in found] == expected


def test_the_names_of_modules_and_functions() -> None:
    assert MODULES["halfbyte"].path == "runtime/__init__.py"
    assert MODULES["halfbyte.converting.recipe"].path == "convert/recipe.py"
    assert MODULES["halfbyte.kernels.step"].folder == "kernels"
    source = (
        "class A:\n    def f(self):\n        if 1:\n            def g(): ...\nasync def h(): ..."
    )
    assert [name for name, _ in functions_in(ast.parse(source))] == ["A.f", "A.f.g", "h"]
