"""The code and the commands that pages of docs/ show are ones that work."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import halfbyte
from halfbyte.cli.parser import Parser

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = {page.name: page.read_text("utf-8") for page in sorted(DOCS.glob("*.md"))}
# Pages whose blocks of Python run here, with names that a page takes for granted.
GIVEN = {
    "candidates.md": {},
    "constraints.md": {"digits": [5, 6]},
    "edit.md": {"text": "import os\n" * 20, "api_text": "def get(a, b):\n    return a\n"},
    "probabilities.md": {},
}
# Page -> what tries its blocks in their place: they take peers, a cluster, or other models.
ELSEWHERE = {
    "adapters.md": "runtime/methods/test_adapting.py",
    "chat.md": "test_examples.py",
    "editors.md": "clients/test_langchain.py",
    "ray.md": "ray/test_cluster.py",
    "server-anthropic.md": "runtime/server/anthropic/test_anthropic_messages.py",
    "server-ollama.md": "runtime/server/ollama/test_generate.py",
    "server-openai.md": "runtime/server/openai/test_chats.py",
}


def python_of(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGES[page], re.DOTALL | re.MULTILINE)


def commands(pattern: str) -> list[tuple[str, str]]:
    """Page and command, each once."""
    found = ((page, one) for page, text in PAGES.items()
             for one in re.findall(pattern, text, re.MULTILINE))  # fmt: skip
    return list(dict.fromkeys(found))


def parser_of(name: str) -> Parser:
    parser = Parser(f"halfbyte {name}", "")
    import_module(f"halfbyte.cli.{name}").add(parser)
    return parser


@pytest.fixture(scope="module")
def model() -> Iterator[halfbyte.Model]:
    with halfbyte.load("infill-10m", threads=1) as loaded:
        yield loaded


def test_each_page_with_python_is_tried() -> None:
    shown = {page for page in PAGES if python_of(page)}
    assert shown == {*GIVEN, *ELSEWHERE}
    lost = [test for test in ELSEWHERE.values() if not (DOCS.parent / "tests" / test).is_file()]
    assert lost == []


@pytest.mark.parametrize("page", GIVEN)
def test_its_python_runs(page: str, model: halfbyte.Model, tmp_path: Path) -> None:
    for block in python_of(page):
        code = re.sub(r"halfbyte\.load\([^)]*\)", 'halfbyte.load("infill-10m", threads=1)', block)
        exec(code, {"halfbyte": halfbyte, "model": model, **GIVEN[page]})


@pytest.mark.parametrize(("page", "command"), commands(r"^(?:    |\$ )?halfbyte ([a-z].*)$"))
def test_a_command_of_its_own_line_is_one(page: str, command: str) -> None:
    name, *words = shlex.split(command, comments=True)
    parser_of(name).parse(words)


@pytest.mark.parametrize(("page", "command"), commands(r"`halfbyte ([a-z][^`]*)`"))
def test_options_that_are_spoken_of_exist(page: str, command: str) -> None:
    name, *words = command.split()
    if name != "help":
        help_text = parser_of(name).format_help()
        assert [w for w in words if w.startswith("-") and not re.search(rf"{w}\b", help_text)] == []
