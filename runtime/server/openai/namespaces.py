"""Functions in groups of their own, which OpenAI calls namespaces, as agents offer them.

A model knows a grouped function by both names with a dot between; a call tells them apart again.
Source: https://platform.openai.com/docs/guides/function-calling.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from halfbyte.server.openai.response_fields import ResponseFields, ResponseTool


class Offered(NamedTuple):
    """A tool, its namespace if it has one, and where the body says so."""

    tool: ResponseTool
    namespace: str | None
    where: str


def offered(asked: ResponseFields) -> Iterator[Offered]:
    """All tools, those of a namespace in its place."""
    for i, tool in enumerate(asked.tools or ()):
        if tool.type != "namespace":
            yield Offered(tool, None, f"tools.{i}")
            continue
        for j, inner in enumerate(tool.tools or ()):
            yield Offered(inner, tool.name, f"tools.{i}.tools.{j}")


def full_name(namespace: str | None, name: str) -> str:
    """What a model calls a function."""
    return name if namespace is None else f"{namespace}.{name}"


def called(asked: ResponseFields, name: str) -> dict[str, str]:
    """The fields of a call's item that say which function it means."""
    for tool, namespace, _ in offered(asked):
        if namespace is not None and full_name(namespace, tool.name or "") == name:
            return {"name": tool.name or "", "namespace": namespace}
    return {"name": name}
