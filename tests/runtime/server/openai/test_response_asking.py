"""Bad fields of a response, and what would have to be kept, are refused by name."""

from __future__ import annotations

from typing import Any

import httpx

from halfbyte.server.openai.response_asking import response_ask
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.served_model import ServedModel
from tests.runtime.server.openai.chatting import FUNCTION

TOOL = {"type": "function", **FUNCTION}
GROUP = {"type": "namespace", "name": "stars", "description": "Of stars.", "tools": [TOOL]}
ODD = {"type": "json_schema", "name": "p", "schema": {"type": "odd"}}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    ({"store": True}, "store"),
    ({"background": True}, "background"),
    ({"input": []}, "input"),
    ({"input": 3}, "input"),
    ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input.0.content.0.type"),
    ({"input": [{"type": "function_call", "name": "f", "arguments": "{"}]}, "input"),
    ({"input": "x " * 3000}, "input"),
    ({"max_output_tokens": -1}, "max_output_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"top_p": True}, "top_p"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
    ({"tools": [{"type": "function"}]}, "tools.0.name"),
    ({"tools": [{**TOOL, "name": "a b"}]}, "tools.0.name"),
    ({"tools": [{**TOOL, "parameters": {"type": "odd"}}]}, "tools.0.parameters.type"),
    ({"tools": [GROUP, {**TOOL, "name": "a b"}]}, "tools.1.name"),
    ({"tools": [TOOL, {**GROUP, "tools": [TOOL, {"type": "custom"}]}]}, "tools.1.tools.1.type"),
    ({"tools": [{**GROUP, "tools": [TOOL, {**TOOL, "name": "a b"}]}]}, "tools.0.tools.1.name"),
    ({"tools": [{**GROUP, "tools": [GROUP]}]}, "tools.0.tools.0.type"),
    ({"tools": [{**GROUP, "name": None}]}, "tools.0.name"),
    ({"tools": [GROUP, GROUP]}, "tools.1.tools.0"),
    ({"tools": [TOOL], "tool_choice": "other"}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "b"}}, "tool_choice"),
    ({"tools": [TOOL], "tool_choice": {"type": "file_search"}}, "tool_choice.type"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"text": {"format": {"type": "json_schema", "name": "p"}}}, "text.format.schema"),
    ({"text": {"format": ODD}}, "text.format"),
    ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ({"truncation": "some"}, "truncation"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"model": "infill-10m"}, "model"),
]


def test_bad_fields_are_named(post: httpx.Client) -> None:
    for i, (fields, param) in enumerate(BAD):
        body = {"model": "calls", "input": "x", "max_output_tokens": 1, "stream": i % 2 == 0}
        answer = post.post("/v1/responses", json={**body, **fields})
        error = answer.json()["error"]
        assert (answer.status_code, error["param"]) == (400, param), (fields, error)
        assert error["type"] == "invalid_request_error" and error["message"]


def test_what_is_null_or_false_is_as_if_it_were_not_there(post: httpx.Client) -> None:
    nulls = dict.fromkeys(
        ("previous_response_id", "conversation", "prompt", "store", "background", "tools",
         "tool_choice", "text", "reasoning", "metadata", "instructions", "seed", "top_k")
    )  # fmt: skip
    for given in ({}, nulls, {"store": False, "background": False, "tools": [], "metadata": {}}):
        body = {"model": "calls", "input": "x", "max_output_tokens": 1, **given}
        answer = post.post("/v1/responses", json=body)
        assert answer.status_code == 200, answer.json()
        assert answer.json()["tools"] == [] and answer.json()["store"] is False


def test_a_format_of_json_is_enforced(post: httpx.Client) -> None:
    body = {"model": "calls", "input": "x", "max_output_tokens": 60, "temperature": 0}
    schema = {"enum": ["yes", "no"]}
    for form, expected in (
        ({"type": "json_schema", "name": "a", "schema": schema}, ('"yes"', '"no"')),
        ({"type": "json_object"}, ("{",)),
    ):
        answer = post.post("/v1/responses", json={**body, "text": {"format": form}}).json()
        assert answer["output"][0]["content"][0]["text"].startswith(expected)
        assert answer["text"]["format"] == form


def test_fields_become_keywords(served_tools: ServedModel) -> None:
    body = {"input": "x", "tools": [TOOL], "parallel_tool_calls": False, "top_p": 0.5, "seed": 3}
    ask = response_ask(served_tools, ResponseFields.model_validate(body))
    assert ask.options == {
        "tools": [{"type": "function", "function": FUNCTION}], "parallel_tool_calls": False,
        "max_tokens": served_tools.model.n_ctx, "top_p": 0.5, "seed": 3,
    }  # fmt: skip
    assert ask.arguments == ([{"role": "user", "content": "x"}],)
