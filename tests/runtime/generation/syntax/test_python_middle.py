"""Where a middle of Python ends, however its text is cut into pieces, and what it costs."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.syntax import python_middle, python_scope
from halfbyte.generation.syntax.code_text import CodeText
from halfbyte.generation.syntax.python_middle import PythonMiddle
from halfbyte.generation.syntax.python_parser import parses
from halfbyte.generation.syntax.python_scope import PythonScope

SOURCE = Path(__file__).read_text("utf-8")


def fill(
    prefix: str, suffix: str, pieces: list[str], stops: tuple[str, ...] = ()
) -> tuple[str, str]:
    """What is shown, and why it ended."""
    scope = PythonScope.of(prefix, suffix)
    assert scope is not None
    text = CodeText(ShownText(stops, suffix=suffix), PythonMiddle(scope))
    shown = ""
    for piece in pieces:
        is_over = text.push(piece)
        assert text.text.startswith(shown)
        shown = text.text
        if is_over:
            return text.text, text.ended_by
    text.finish()
    assert text.text.startswith(shown)
    return text.text, text.ended_by


# Prefix, suffix, what the model writes, what is kept of it.
COMPLETE = [
    ("import nu", "\n\nx = 3\n", "mpy as np\nimport os\n\ny = 3\n", "mpy as np"),
    ("import nu", "", "mpy as np\nimport os\n\ny = 3\n", "mpy as np\nimport os"),
    ("", "\n\nx = 3\n", "import numpy\nimport os\n\ny = 3\n", "import numpy\nimport os"),
    ("def f():\n    x = g(", "\n    return x\n", "1,\n  2)\n    y = 1\n    z", "1,\n  2)"),
    ("def f():\n    if x", "\n    return x\n", ":\n        y = 1\n        z = 1\n    w = 1\n",
     ":\n        y = 1\n        z = 1"),
    ("def f(x):", "\n\n\ndef g():\n    pass\n", "\n    y = x\n    return y\n\n\ndef h(): ...\n",
     "\n    y = x\n    return y"),
    ("def f(x):\n", "\n\ndef g(): ...\n", "    return x\n# so\n\nprint(f(3))\n", "    return x"),
    ("def f(a):\n    while b", "", " != 0:\n        a = b\n    return a\n\nprint(f(3))\n",
     " != 0:\n        a = b\n    return a"),
    ("def f(x):\n    if x:\n        ret", "", "urn 1\n    else:\n        return 2\n\nclass A:\n",
     "urn 1\n    else:\n        return 2"),
    ("class A:\n    def f(self):\n        x = [\n", "\n    def g(self): ...\n",
     "            1,\n        ]\n        return x\n\n    def h(self):\n",
     "            1,\n        ]\n        return x"),
    ("def f():\n    '''Say", "", " so\nand so.\n    '''\n    return 1\nf()\n",
     " so\nand so.\n    '''\n    return 1"),
    ("@cache\ndef f(x):\n    match x:\n        case 1:\n            ", "",
     "y = 1\n        case _:\n            y = 2\n    return y\n\n@cache\ndef g():\n",
     "y = 1\n        case _:\n            y = 2"),
    ("if x:\n\t", "", "y = 1\nz = 2\n", "y = 1"),
    ("if x:\r\n    ", "\r\nz = 2\r\n", "y = 1\r\n\r\nw = 1\r\n", "y = 1"),
    ("try:\n    ", "", "x = 1\nexcept E:\n    pass\nfinally:\n    x = 2\nelsewhere = 3\n",
     "x = 1\nexcept E:\n    pass\nfinally:\n    x = 2"),
    ("x = foo(", ")\ny = 2\n", "1, 2\nw = 3\n", "1, 2"),
    ("x = foo(", ")\ny = 2\n", "1, 2)\nw = 3\n", "1, 2"),
    ("x = ", "\ny = 2\n", "rf'\\d{3:>{4}}' + '\\d' # 'é'\n\n\nz = 1\n",
     "rf'\\d{3:>{4}}' + '\\d' # 'é'"),
    # The line after the middle has the cursor's indentation before the cursor.
    ("def f():\n    ", "return x\n", "y = 1\n    x = y\n\ndef g():\n", "y = 1\n    x = y\n    "),
    ("def f():\n", "    return x\n", "    y = 1\n\ndef g():\n", "    y = 1\n"),
]  # fmt: skip


@pytest.mark.parametrize(("prefix", "suffix", "written", "kept"), COMPLETE)
def test_a_middle_ends_where_its_block_is_complete(
    prefix: str, suffix: str, written: str, kept: str
) -> None:
    assert parses(prefix + kept + suffix)
    for n in (1, 2, 5, len(written)):
        pieces = [written[i : i + n] for i in range(0, len(written), n)]
        assert fill(prefix, suffix, pieces) == (kept, "stop")


# What does not parse at the answer's end is cut where it did, if anywhere.
CUT = [
    ("def f():\n    ", "", "x = 1\n    y = (2", "x = 1", "stop"),
    ("def f():\n    ", "", "x = 1\n    y = ) 2\n    z = 3\n", "x = 1", "stop"),
    ("def f():\n    ", "", "x = ) 1\n    y = 2\n", "x = ) 1\n", "syntax"),
    ("def f():\n    ", "", "x = (1", "x = (1", "syntax"),
    ("def f():\n    ", "", "x\0 = 1\n    y = 2", "x\0 = 1\n", "syntax"),
    ("def f():\n    ", "", "x = 1\n  y = 2\n", "x = 1", "stop"),
    ("x = [", "]\n", "1, 2", "1, 2", "stop"),
    ("x = ", "\n", "", "", "syntax"),
    ("x = 1", "\n", "", "", "stop"),
    ("def f():\n    ", "", "x = 1", "x = 1", "stop"),
]  # fmt: skip


@pytest.mark.parametrize(("prefix", "suffix", "written", "kept", "reason"), CUT)
def test_what_does_not_parse_is_cut_or_told(
    prefix: str, suffix: str, written: str, kept: str, reason: str
) -> None:
    text, ended_by = fill(prefix, suffix, [written])
    assert ended_by == reason
    assert text == kept or (reason == "syntax" and text == written)
    if reason == "stop":
        assert parses(prefix + text + suffix)


def test_an_answer_that_cannot_parse_ends_at_once() -> None:
    scope = PythonScope.of("def f():\n    ", "")
    assert scope is not None
    middle = PythonMiddle(scope)
    middle.look("x = ) 1")
    assert not middle.is_hopeless  # the line may become another one
    middle.look("x = ) 1\n")
    assert middle.is_hopeless


def test_stops_and_repetitions_of_the_suffix_count_first() -> None:
    assert fill("def f():\n    ", "", ["x = 1\n    # END"], ("# END",)) == ("x = 1\n    ", "stop")
    assert fill("x = foo(", ")\ny = 2\n", ["1)\ny = 2\n"]) == ("1", "stop")


ODD = st.lists(
    st.sampled_from(
        [*"\t\r\n\f\0\\'\"()[]{}:#@ ", "\r\n", "f'{", "'''", "rb'\\", "def ", "class A:\n", "é",
         "\u2028",
         "\ufeff", "0x1for ", "1if ", "match x:\n", " case 1:\n", "else:", "\\d", "x = 1\n", "    "]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(ODD, ODD, ODD, st.integers(1, 9))
@example("'\\", "", "'''\n", 1)
def test_any_text_has_an_answer(prefix: str, suffix: str, written: str, n: int) -> None:
    scope = PythonScope.of(prefix, suffix)
    if scope is None:
        return
    pieces = [written[i : i + n] for i in range(0, len(written), n)]
    text, reason = fill(prefix, suffix, pieces)
    again, _ = fill(prefix, suffix, [written])
    if reason == "stop" and text:
        assert scope.takes(text)
    assert text.startswith(again[:1]) or not again


def test_what_is_parsed_is_small_and_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a class of 1,500 lines: nothing but the statements that the cursor stands in."""
    method = "    def f{}(self, x):\n        if x:\n            return x\n        return [x]\n\n"
    text = "class A:\n" + "".join(method.format(i) for i in range(300))
    at = text.index("            return x", len(text) // 2)
    scope = PythonScope.of(text[:at], text[at + 21 :])
    assert scope is not None and len(scope.before + scope.after) < 200
    parsed: list[int] = []

    def counted(check: Callable[[str], bool]) -> Callable[[str], bool]:
        def count(source: str) -> bool:
            parsed.append(len(source))
            return check(source)

        return count

    monkeypatch.setattr(python_scope, "parses", counted(python_scope.parses))
    monkeypatch.setattr(python_scope, "can_go_on", counted(python_scope.can_go_on))
    middle = PythonMiddle(scope)
    written = "            y = (x, x)\n" * 60
    for i in range(1, len(written) + 1):
        middle.look(written[:i])
    assert 30 < len(parsed) <= 61
    parsed.clear()
    long = PythonMiddle(PythonScope("x = [\n" + "    1,\n" * 5000, "]\n"))
    written = "    2,\n" * 200
    for i in range(1, len(written) + 1):
        long.look(written[:i])
    assert not long.is_hopeless and parsed
    assert sum(parsed) <= python_middle._EARNED * len(written)


def test_gaps_in_real_code_are_closed_by_what_was_there() -> None:
    """The real text, and then more of the same: nothing of the real text is lost."""
    rng = random.Random(1)
    tree: Any = ast.parse(SOURCE)
    lines = SOURCE.splitlines(keepends=True)
    functions = [n for n in tree.body if isinstance(n, ast.FunctionDef)]
    n_ended = 0
    for function in functions:
        last = function.end_lineno
        cut = rng.choice(function.body).lineno - 1
        prefix, suffix = "".join(lines[:cut]), "\n" + "".join(lines[last:])
        real = "".join(lines[cut:last]).rstrip("\n")
        more = "\n\n\ndef other():\n    pass\n"
        text, reason = fill(prefix, suffix, list(real + more))
        assert (text, reason) == (real, "stop")
        n_ended += 1
    assert n_ended > 6
