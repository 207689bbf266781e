"""docs/api.md says what the code has: every argument, its default, every result and error."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte
from halfbyte.converting.options import ConversionOptions, Options
from halfbyte.generation import call_keywords as keys
from halfbyte.generation.adaptation import LoadedAdapters
from halfbyte.generation.middle_rules import MiddleRules
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.syntax.syntax import Syntax
from halfbyte.models import catalogue
from halfbyte.planning.call_options import Options as CallOptions
from halfbyte.planning.chat_planning import ChatAsked
from halfbyte.results import Result
from halfbyte.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+)` \| `(.+?)` \| (?:`(.*?)`)? \|(.*)\|$", re.MULTILINE)
METHODS = [
    name
    for name in dir(halfbyte.Model)
    if not name.startswith("_") and inspect.isfunction(inspect.getattr_static(halfbyte.Model, name))
]
TYPED = {
    "complete": keys.CompleteCallOptions, "infill": keys.InfillCallOptions,
    "chat": keys.ChatCallOptions, "edit": keys.CallOptions, "convert": ConversionOptions,
    "score": keys.ScoreOptions, "perplexity": keys.ScoreOptions,
}  # fmt: skip
LEFT_OUT = object()


@pytest.fixture(scope="module")
def written() -> ModuleType:
    """The script that writes the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        import api_page  # type: ignore[import-not-found]
    return api_page  # type: ignore[no-any-return]


def section(heading: str) -> str:
    found = re.search(
        rf"^### {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/api.md has nothing about {heading}"
    return found[1]


def rows(heading: str) -> dict[str, Any]:
    """The arguments of a section and their defaults, all of which are told what they are."""
    found = {}
    for name, kind, default, what in ROW.findall(section(heading)):
        assert kind and what.strip(), name
        found[name] = ast.literal_eval(default) if default else LEFT_OUT
    return found


def parameters(member: Callable[..., Any]) -> dict[str, Any]:
    every = list(inspect.signature(member).parameters.values())
    return {
        one.name: LEFT_OUT if one.default is one.empty else one.default
        for one in every
        if one.name != "self" and one.kind is not one.VAR_KEYWORD
    }


def twin_of(name: str) -> str:
    """The method whose arguments it takes."""
    plain = name[1:] if name.startswith("a") and name[1:] in METHODS else name
    return plain.replace("stream_", "").replace("stream", "complete")


def test_the_page_is_current(written: ModuleType) -> None:
    assert written.page() == PAGE, "python benchmarks/api_page.py writes it anew"


@pytest.mark.parametrize("name", ["load", "convert", "pull", *METHODS])
def test_each_argument_is_there_with_its_default(name: str) -> None:
    member = getattr(halfbyte, name, None) or getattr(halfbyte.Model, name)
    own, told = parameters(member), rows(twin_of(name))
    if twin_of(name) == name:
        extra = TYPED[name].__annotations__ if name in ("score", "perplexity") else {}
        assert list(told) == [*own, *extra]
    assert own.items() <= told.items()


@pytest.mark.parametrize("name", TYPED)
def test_each_keyword_is_there(name: str, written: ModuleType) -> None:
    if name in ("score", "perplexity"):
        return
    groups = re.findall(r"\[([^\]]+)\]\(#", section(name))
    assert groups == list(written.TAKEN[name][1])
    told = [keyword for group in groups for keyword in rows(group)]
    assert sorted(told) == sorted(TYPED[name].__annotations__)


def test_each_result_and_error_is_there() -> None:
    public = [(name, getattr(halfbyte, name)) for name in halfbyte.__all__]
    kinds = [(name, kind) for name, kind in public if isinstance(kind, type)]
    results = [name for name, kind in kinds if issubclass(kind, Result)]
    raised = [name for name, kind in kinds if issubclass(kind, halfbyte.HalfbyteError)]
    assert len(results) > 9 and [name for name in results if not section(f"halfbyte.{name}")] == []
    tree = PAGE.partition("\n## Errors\n")[2]
    assert len(raised) > 9 and [name for name in raised if not re.search(rf" {name}\b", tree)] == []


@pytest.mark.parametrize("group", re.findall(r"^### ([A-Z].*)$", PAGE, re.MULTILINE))
def test_a_default_that_is_given_changes_nothing(group: str) -> None:
    tokenizer = Tokenizer.from_path(catalogue.resolve("infill-10m"))

    def asked(given: dict[str, Any]) -> Any:
        terms = {"timeout", "max_time", "priority"} & given.keys()
        theirs = (("cache_scope", None), ("truncate", None))  # the methods' own
        given = {name: v for name, v in given.items() if (name, v) not in theirs}
        options, rest = CallOptions.split(tokenizer, LoadedAdapters(), given)
        middle, rest = MiddleRules.split(rest)
        syntax, rest = Syntax.split(rest)
        chat, rest = ChatAsked.split(rest)
        groups = [getattr(options, name) for name in CallOptions.__slots__ if name != "terms"]
        if terms:
            groups += [options.terms.timeout, options.terms.max_time, options.terms.priority]
        else:
            groups += [None, None, 1.0]
        return groups, middle, syntax, chat, SamplingParams.from_kwargs(**rest)

    for name, default in rows(group).items():
        if group == "Of conversion":
            assert Options.of(**{name: default}) == Options.of()
        elif name != "choices" or default is not None:
            assert asked({name: default}) == asked({}), name
