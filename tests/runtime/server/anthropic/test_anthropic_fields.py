"""Which fields are taken, and which of their values."""

from __future__ import annotations

import logging

import pytest

from halfbyte.server.anthropic.anthropic_fields import MessageFields, PromptFields
from halfbyte.server.fault import Fault
from halfbyte.server.fields import checked

USER = {"messages": [{"role": "user", "content": "a"}]}


def test_what_is_counted_may_have_what_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        checked(PromptFields, {**USER, "max_tokens": 5, "stream": True}, "Anthropic, counted")
    assert "'max_tokens' means nothing here" in caplog.text and "is not known" not in caplog.text


def test_a_schema_is_called_schema() -> None:
    asked = {"type": "json_schema", "schema": {"a": 1}}
    made = checked(MessageFields, {**USER, "max_tokens": 1, "output_format": asked}, "Anthropic")
    assert made.output_format is not None and made.output_format.schema_ == {"a": 1}
    with pytest.raises(Fault) as caught:
        asked = {"type": "json_schema", "schema": []}
        checked(MessageFields, {**USER, "max_tokens": 1, "output_format": asked}, "Anthropic")
    assert caught.value.param == "output_format.schema"


def test_lists_are_bounded() -> None:
    with pytest.raises(Fault) as caught:
        tools = [{"name": "a"}] * 1025
        checked(MessageFields, {**USER, "max_tokens": 1, "tools": tools}, "Anthropic")
    assert caught.value.param == "tools"
