"""Plain Jinja as the oracle, and a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from halfbyte.prompt.template import functions

NOON = datetime(2024, 7, 26, 12, 0)


@pytest.fixture(scope="session")
def plain() -> Any:
    """The oracle: unbounded Jinja, set up as transformers sets it up."""
    return _plain


@pytest.fixture(autouse=True, scope="module")
def _noon() -> Iterator[None]:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return NOON

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions, "datetime", Clock)
        yield


class Generation(Extension):
    """{% generation %} as a call block, which is what it is for transformers."""

    tags = {"generation"}  # noqa: RUF012 - Jinja declares it so

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("shown"), [], [], body, lineno=line)

    def shown(self, caller: Any) -> str:
        return str(caller())


def _plain(source: str, **context: object) -> str:
    def refuse(message: str) -> None:
        raise ValueError(message)

    def tojson(
        value: object, ensure_ascii: bool = False, indent: Any = None, separators: Any = None,
        sort_keys: bool = False,
    ) -> str:  # fmt: skip
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
            sort_keys=sort_keys,
        )  # fmt: skip

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", Generation]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {"raise_exception": refuse, "strftime_now": NOON.strftime}
    return environment.from_string(source).render(**context)
