"""Fields of the wrong type or value are refused by name; those nobody knows are mentioned once."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

import pytest
from pydantic import ValidationError

from halfbyte.server.fault import Fault
from halfbyte.server.fields import Count, Fields, Temperature, checked
from halfbyte.server.llama_cpp.request_schema import LlamaCompletionFields
from halfbyte.server.llama_cpp.tokenizing import TokenizeFields
from halfbyte.server.openai.chat_fields import ChatFields
from halfbyte.server.openai.response_fields import ResponseFields


class Inner(Fields):
    on: bool = False


class Body(Fields):
    unused: ClassVar[frozenset[str]] = frozenset({"user"})
    n: Count | None = None
    temperature: Temperature | None = None
    prompt: str | list[str] | list[int] = ""
    inner: Inner | None = None


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"n": True}, "n"),
        ({"n": -1}, "n"),
        ({"n": 1.5}, "n"),
        ({"n": 10**30}, "n"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"inner": {"on": 1}}, "inner.on"),
    ],
)
def test_a_bad_value_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Fault) as caught:
        checked(Body, body, "test")
    assert caught.value.kind == "invalid_request" and caught.value.param == param


def test_a_bad_value_of_a_union_is_refused() -> None:
    with pytest.raises(Fault) as caught:
        checked(Body, {"prompt": ["a", 1]}, "test")
    assert caught.value.param.startswith("prompt")


def test_what_means_nothing_is_mentioned_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert checked(Body, {"n": 1, "user": "me", "odd": [1]}, "test").n == 1
    assert [record.getMessage() for record in caplog.records] == [
        "test: the field 'user' means nothing here and is ignored",
        "test: the field 'odd' is not known and is ignored",
    ]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (LlamaCompletionFields, {"prompt": [None] * 1000}),
        (LlamaCompletionFields, {"prompt": [[None] * 1000]}),
        (TokenizeFields, {"content": [0.5] * 1000}),
        (ChatFields, {"messages": [0] * 1000}),
        (ChatFields, {"messages": [], "logit_bias": {str(i): "a" for i in range(1000)}}),
        (ResponseFields, {"input": [0] * 1000}),
    ],
)
def test_the_first_bad_item_ends_a_list(kind: type[Fields], body: dict[str, Any]) -> None:
    """Each error takes more than a kilobyte, and a body has room for millions."""
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(body)
    assert caught.value.error_count() < 10


def test_what_is_missing_is_told_without_all_the_rest() -> None:
    class Needy(Fields):
        a: int

    with pytest.raises(Fault) as caught:
        checked(Needy, {"b": "what a prompt may say"}, "nobody's")
    assert (caught.value.param, caught.value.message) == ("a", "a: Field required")
