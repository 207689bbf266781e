"""What stands for the text around a cursor: small, and as good as the whole of it."""

from __future__ import annotations

import ast
import random
import sys
import warnings
from pathlib import Path

import pytest

from halfbyte.generation.syntax.python_lines import is_clause, left_open, width_of
from halfbyte.generation.syntax.python_parser import can_go_on, parses
from halfbyte.generation.syntax.python_scope import PythonScope

SOURCES = [
    path.read_text("utf-8")
    for path in sorted((Path(__file__).resolve().parents[4] / "runtime").glob("*.py"))[:6]
]


def is_python(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def test_a_scope_says_of_a_middle_what_the_whole_file_says() -> None:
    """Right and wrong middles, at random places."""
    rng = random.Random(3)
    n_right = n_wrong = 0
    for source in SOURCES * 3:
        begin = rng.randrange(len(source))
        end = min(begin + rng.randrange(200), len(source))
        real = source[begin:end]
        scope = PythonScope.of(source[:begin], source[end:])
        if scope is None:
            continue
        other = rng.randrange(len(source))
        for middle in (real, "", "x", real[:-1], real + "\n", source[other : other + 60]):
            expected = is_python(source[:begin] + middle + source[end:])
            assert scope.takes(middle) == expected, (source[begin - 60 : begin], middle)
            n_right, n_wrong = n_right + expected, n_wrong + (not expected)
    assert n_right > 15 and n_wrong > 15


def test_a_decorator_behind_the_cursor_keeps_its_function() -> None:
    before, after = (
        "class A:\n    def f(self):\n        x = 1",
        "    @cache\n    def g(self): ...\n",
    )
    scope = PythonScope.of(before, after)
    assert scope is not None
    assert scope.takes("\n        return x\n\n") and not scope.takes("\n        return (\n\n")


def test_statements_beside_the_cursor_are_left_out() -> None:
    scope = PythonScope.of(
        "import a\n\nclass A:\n    z = 3\n\n    @cache\n    def f(self):\n        pass\n\n"
        "    def g(self, x):\n        a = '''\n1\n'''\n        if x:\n            q",
        "\n            r = 3\n        t = 4\n        u = 2\n\n    def h(self): ...\n\nx = 3\n",
    )
    assert scope is not None
    assert scope.before.split() == ("class A: pass def g(self, x): pass if x: q".split())
    assert set(scope.after.split()) == {"pass"}


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [("def f(:\n    ", "\n"), ("\0", ""), ("x = $\ny = ", "")],
)
def test_where_nothing_would_parse_there_is_no_scope(prefix: str, suffix: str) -> None:
    assert PythonScope.of(prefix, suffix) is None


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [("", ""), ("x = f(a, [b", "\ny = 1\n"), ("def ", "\n    return 1\n"),
     ("while ", ":\n    pass\n"),
     ("def f(x):", "\n"), ("x = ", "\n"), ("for x", ":\n    pass\n"), ("from a", "\n"),
     ('"""Doc', "\ny = 1\n"), ("x = {'a': ", "}\n"), ("if x:\n    pass\nel", "")],
)  # fmt: skip
def test_where_something_would_there_is_one(prefix: str, suffix: str) -> None:
    assert PythonScope.of(prefix, suffix) is not None


def test_the_parser_is_asked_without_a_word() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert parses("x = '\\d'\ny = 1if x else 2\nz = rb'\\\\'\n") and can_go_on("x = '\\d\\\n")
    assert not caught
    for text in ("x = \\d", "(" * 300, "x\0", "-" * 100_000 + "1", "'\\"):
        assert not parses(text)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the parser cannot tell")
def test_beginnings_can_go_on() -> None:
    for text in ("", "def f():\n", "try:\n    x\n", "x = (\n", "'''a\n", "@a\n", "match x:\n"):
        assert can_go_on(text)
    for text in ("x = )\n", "def f(:\n", "x\n    y\n", "'a\n", "if x:\ny\n", "\0\n"):
        assert not can_go_on(text)


def test_lines() -> None:
    assert [width_of(line) for line in ("x", "  x", "\tx", "  \tx", " \f x")] == [0, 2, 8, 8, 1]
    assert is_clause("    else:") and is_clause("except E:") and not is_clause("elsewhere = 1")
    cases = {"f(a, [b": "])", "'a\\'": "'", '"""a"': '"""', "# (": "", "f('(')": "", "({": "})",
             "f(x) ''": "", "'''\n": "'''"}  # fmt: skip
    assert {text: left_open(text) for text in cases} == cases
