"""`/v1/messages` gives what `model.chat` gives, through Anthropic's own client."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import anthropic
import httpx
import pytest

import halfbyte
from halfbyte.server.prompts import chat_prompt_of
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

USER: list[Any] = [{"role": "user", "content": "def f("}]
GREEDY: dict[str, Any] = {"extra_body": {"temperature": 0}}
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}, "of": {"enum": ["é"]}},
    "required": ["n", "of"],
}
TOOLS: list[Any] = [{"name": "count", "description": "Counts.", "input_schema": SCHEMA}]
FUNCTIONS = [
    {
        "type": "function",
        "function": {"name": "count", "description": "Counts.", "parameters": SCHEMA},
    }
]
COUNT: Any = {"type": "tool", "name": "count"}


def test_a_conversation_is_answered(
    claude: anthropic.Anthropic, models: dict[str, halfbyte.Model]
) -> None:
    got = claude.messages.create(
        model="calls", max_tokens=12, messages=USER, system="Be brief.", **GREEDY
    )
    asked = [{"role": "system", "content": "Be brief."}, *USER]
    done = models["calls"].chat(asked, max_tokens=12, temperature=0)
    assert [(one.type, one.text) for one in got.content] == [("text", done.text)]  # type: ignore[union-attr]
    assert (got.role, got.type, got.model) == ("assistant", "message", "calls")
    assert (got.stop_reason, got.stop_sequence) == ("max_tokens", None)
    usage = got.usage
    assert usage.output_tokens == 12 and usage.cache_creation_input_tokens == 0
    n_prompt = usage.input_tokens + (usage.cache_read_input_tokens or 0)
    assert n_prompt == done.stats.n_prompt
    assert got._request_id and got.id == f"msg_{got._request_id}"


def test_what_was_remembered_is_counted_apart(claude: anthropic.Anthropic) -> None:
    asked: Any = [{"role": "user", "content": "remember this: a b c d e f g"}]
    for _ in range(2):
        got = claude.messages.create(model="calls", max_tokens=1, messages=asked)
    n_prompt = claude.messages.count_tokens(model="calls", messages=asked).input_tokens
    assert got.usage.input_tokens == 1  # the last one is computed again
    assert got.usage.cache_read_input_tokens == n_prompt - 1


def test_no_tokens_only_have_the_prompt_read(claude: anthropic.Anthropic) -> None:
    asked: Any = [{"role": "user", "content": "Read this, and say nothing: a b c d e f g"}]
    read = claude.messages.create(model="calls", max_tokens=0, messages=asked)
    assert (read.content[0].text, read.stop_reason) == ("", "max_tokens")  # type: ignore[union-attr]
    assert read.usage.output_tokens == 0 and read.usage.input_tokens > 10
    again = claude.messages.create(model="calls", max_tokens=1, messages=asked)
    assert again.usage.input_tokens == 1


def test_a_stream_has_its_events_in_order(
    claude: anthropic.Anthropic, models: dict[str, halfbyte.Model]
) -> None:
    done = models["calls"].chat(USER, max_tokens=12, temperature=0)
    with claude.messages.stream(model="calls", max_tokens=12, messages=USER, **GREEDY) as stream:
        kinds = [event.type for event in stream]
        got = stream.get_final_message()
    assert got.content[0].text == done.text and got.stop_reason == "max_tokens"  # type: ignore[union-attr]
    n_prompt = got.usage.input_tokens + (got.usage.cache_read_input_tokens or 0)
    assert n_prompt == done.stats.n_prompt and got.usage.output_tokens == 12
    deltas = [kind for kind in kinds if kind in ("content_block_delta", "text")]
    assert deltas
    assert [kind for kind in kinds if kind not in deltas] == [
        "message_start", "content_block_start", "content_block_stop", "message_delta",
        "message_stop",
    ]  # fmt: skip


def test_drawing_is_as_it_is_asked_for(
    claude: anthropic.Anthropic, models: dict[str, halfbyte.Model]
) -> None:
    how = {"temperature": 1.0, "top_p": 0.5, "top_k": 1}
    got = claude.messages.create(model="calls", max_tokens=8, messages=USER, extra_body=how)
    done = models["calls"].chat(USER, max_tokens=8, **how)  # which leaves one token each time
    assert got.content[0].text == done.text  # type: ignore[union-attr]


def test_the_text_that_stops_an_answer_is_told(
    claude: anthropic.Anthropic, models: dict[str, halfbyte.Model]
) -> None:
    whole = models["calls"].chat(USER, max_tokens=12, temperature=0).text
    stop = whole[4:7]
    how: dict[str, Any] = {
        "model": "calls", "max_tokens": 12, "messages": USER,
        "stop_sequences": ["never", stop], **GREEDY,
    }  # fmt: skip
    got = claude.messages.create(**how)
    assert (got.stop_reason, got.stop_sequence) == ("stop_sequence", stop)
    assert got.content[0].text == whole[: whole.index(stop)]  # type: ignore[union-attr]
    with claude.messages.stream(**how) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", stop)


def test_calls_are_blocks(claude: anthropic.Anthropic, models: dict[str, halfbyte.Model]) -> None:
    how: dict[str, Any] = {
        "model": "calls", "max_tokens": 60, "messages": USER, "tools": TOOLS,
        "tool_choice": COUNT, **GREEDY,
    }  # fmt: skip
    asked: dict[str, Any] = {"max_tokens": 60, "temperature": 0, "tools": FUNCTIONS}
    done = models["calls"].chat(USER, **asked, tool_choice="count")
    (expected,) = done.tool_calls
    block = {
        "type": "tool_use", "id": f"toolu_{expected.id}", "name": "count",
        "input": dict(expected.arguments),
    }  # fmt: skip
    got = claude.messages.create(**how)
    assert [one.to_dict() for one in got.content] == [block] and got.stop_reason == "tool_use"
    with claude.messages.stream(**how) as stream:
        json_text = "".join(e.partial_json for e in stream if e.type == "input_json")
        final = stream.get_final_message()
    assert json.loads(json_text) == block["input"]
    assert [one.to_dict() for one in final.content] == [block]
    assert final.stop_reason == "tool_use"

    result: Any = {"type": "tool_result", "tool_use_id": block["id"], "content": "5"}
    said: Any = [result, {"type": "text", "text": "And?"}]
    more = [*USER, {"role": "assistant", "content": got.content}, {"role": "user", "content": said}]
    after = claude.messages.create(
        model="calls", max_tokens=8, messages=more, tools=TOOLS, **GREEDY
    )
    tool = {"role": "tool", "tool_call_id": expected.id, "name": "count", "content": "5"}
    told = [*USER, done.message, tool, {"role": "user", "content": "And?"}]
    next_one = models["calls"].chat(told, max_tokens=8, temperature=0, tools=FUNCTIONS)
    assert after.content[0].text == next_one.text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("choice", "expected"), [("any", "required"), ("none", "none"), ("auto", "auto")]
)
def test_choices_are_the_librarys(
    claude: anthropic.Anthropic, models: dict[str, halfbyte.Model], choice: Any, expected: str
) -> None:
    got = claude.messages.create(
        model="calls", max_tokens=40, messages=USER, tools=TOOLS, tool_choice={"type": choice},
        **GREEDY,
    )  # fmt: skip
    done = models["calls"].chat(
        USER, max_tokens=40, temperature=0, tools=FUNCTIONS, tool_choice=expected
    )
    calls = [one.input for one in got.content if one.type == "tool_use"]
    assert calls == [dict(call.arguments) for call in done.tool_calls]
    assert got.usage.output_tokens == len(done.tokens) and bool(calls) is (choice == "any")


def test_thoughts_are_signed_blocks(
    claude: anthropic.Anthropic, models: dict[str, halfbyte.Model]
) -> None:
    budget: Any = {"type": "enabled", "budget_tokens": 8}
    how: dict[str, Any] = {
        "model": "thinks", "max_tokens": 70, "messages": USER, "thinking": budget, **GREEDY,
    }  # fmt: skip
    done = models["thinks"].chat(
        USER, max_tokens=70, temperature=0, thinking=True, reasoning_budget=8
    )
    assert done.reasoning and done.text
    got = claude.messages.create(**how)
    with claude.messages.stream(**how) as stream:
        final = stream.get_final_message()
    for one in (got, final):
        thoughts, text = one.content
        assert thoughts.type == "thinking" and thoughts.thinking == done.reasoning
        assert thoughts.signature and text.type == "text" and text.text == done.text
    for off in ({}, {"thinking": {"type": "disabled"}}):
        quiet = claude.messages.create(model="thinks", max_tokens=8, messages=USER, **off, **GREEDY)  # type: ignore[call-overload]
        asked = models["thinks"].chat(USER, max_tokens=8, temperature=0, thinking=False)
        assert [one.text for one in quiet.content] == [asked.text]


def test_calls_may_be_held_to_one(
    claude: anthropic.Anthropic, models: dict[str, halfbyte.Model]
) -> None:
    choice: Any = {"type": "any", "disable_parallel_tool_use": True}
    got = claude.messages.create(
        model="calls", max_tokens=90, messages=USER, tools=TOOLS, tool_choice=choice, **GREEDY
    )
    done = models["calls"].chat(
        USER, max_tokens=90, temperature=0, tools=FUNCTIONS, tool_choice="required",
        parallel_tool_calls=False,
    )  # fmt: skip
    assert [one.type for one in got.content] == ["tool_use"] and len(done.tool_calls) == 1
    assert got.usage.output_tokens == len(done.tokens)


@pytest.mark.parametrize("name", ["calls", "thinks"])
def test_an_answers_beginning_goes_on(
    claude: anthropic.Anthropic, models: dict[str, halfbyte.Model], name: str
) -> None:
    begun: Any = [*USER, {"role": "assistant", "content": [{"type": "text", "text": "x):"}]}]
    how: dict[str, Any] = {"model": name, "max_tokens": 8, "messages": begun, **GREEDY}
    got = claude.messages.create(**how)
    with claude.messages.stream(**how) as stream:
        final = stream.get_final_message()
    ids = chat_prompt_of(models[name], USER, {"thinking": False} if name == "thinks" else {}).tokens
    ids = [*ids, *models[name].tokenizer.encode_fragment("x):")]
    done = models[name].complete(ids, max_tokens=8)
    assert got.content[0].text == final.content[0].text == done.text  # type: ignore[union-attr]
    assert got.usage.output_tokens == 8 and got.stop_reason == "max_tokens"
    counted = claude.messages.count_tokens(model=name, messages=begun).input_tokens
    used = got.usage.input_tokens + (got.usage.cache_read_input_tokens or 0)
    assert counted == used == len(ids)


def test_a_format_is_kept(claude: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [7]}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    form: Any = {"type": "json_schema", "schema": schema}
    for name in ("calls", "thinks"):
        got = claude.messages.create(
            model=name, max_tokens=30, messages=USER, output_config={"format": form}, **GREEDY
        )
        assert json.loads(got.content[0].text) == {"n": 7}  # type: ignore[union-attr]
        assert got.stop_reason == "end_turn"


def test_tokens_are_counted_as_they_are_used(claude: anthropic.Anthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 2000}
    for how in ({}, {"tools": TOOLS}, {"system": "Be brief."}, {"thinking": thinking}):
        counted = claude.messages.count_tokens(model="thinks", messages=USER, **how)  # type: ignore[arg-type]
        used = claude.messages.create(model="thinks", max_tokens=1, messages=USER, **how).usage  # type: ignore[call-overload]
        n_prompt = used.input_tokens + used.cache_read_input_tokens
        assert counted.input_tokens == n_prompt


def test_the_asynchronous_client_too(chat_url: str, models: dict[str, halfbyte.Model]) -> None:
    how: dict[str, Any] = {"model": "calls", "max_tokens": 12, "messages": USER, **GREEDY}

    async def ask() -> list[Any]:
        http = anthropic.DefaultAsyncHttpxClient(trust_env=False)
        async with anthropic.AsyncAnthropic(
            base_url=chat_url, api_key="none", http_client=http
        ) as client:
            whole = await client.messages.create(**how)
            async with client.messages.stream(**how) as stream:
                final = await stream.get_final_message()
            counted = await client.messages.count_tokens(model="calls", messages=USER)
            return [whole.content[0].text, final.content[0].text, counted.input_tokens]

    done = models["calls"].chat(USER, max_tokens=12, temperature=0)
    assert asyncio.run(ask()) == [done.text, done.text, done.stats.n_prompt]


def test_the_contexts_end_is_told(
    claude: anthropic.Anthropic, models: dict[str, halfbyte.Model]
) -> None:
    asked: Any = [{"role": "user", "content": "a b " * 240}]
    done = models["calls"].chat(asked, max_tokens=5000, temperature=0)
    reasons = {"context": "model_context_window_exceeded", "stop": "end_turn"}
    got = claude.messages.create(model="calls", max_tokens=5000, messages=asked, **GREEDY)
    assert got.stop_reason == reasons[done.finish_reason] and done.finish_reason == "context"
    asked = [{"role": "user", "content": "a b " * 300}]
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(model="calls", max_tokens=1, messages=asked)
    # Claude Code reads both numbers, and makes its conversation shorter.
    assert re.search(r"prompt is too long: \d+ tokens > 512 maximum", caught.value.message)
    assert caught.value.request_id == caught.value.body["request_id"]  # type: ignore[index]


def test_what_clients_of_the_original_send_is_taken(http_anthropic: httpx.Client) -> None:
    note = {"cache_control": {"type": "ephemeral"}}
    body = {
        "model": "calls", "max_tokens": 1, "stream": False, "metadata": {"user_id": "x"},
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cch=1a2b3;"},
            {"type": "text", "text": "Be brief.", **note},
        ],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a", **note}]},
                     {"role": "system", "content": "Agents: none."}],
        "tools": [{**TOOLS[0], **note, "strict": True, "type": "custom", "mine": 1}],
        "thinking": {"type": "adaptive", "display": "summarized"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "high"}, "service_tier": "auto", "mcp_servers": [],
        "temperature": None, "anything": {"else": []},
    }  # fmt: skip
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "a,b", "x-api-key": "k"}
    reply = http_anthropic.post("/v1/messages?beta=true", json=body, headers=headers)
    assert reply.status_code == 200, reply.text
    assert reply.headers["request-id"]


def test_pings_are_events(http_anthropic: httpx.Client) -> None:
    body = {"model": "calls", "max_tokens": 1, "stream": True, "messages": USER}
    reply = http_anthropic.post("/v1/messages", json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert 'event: ping\ndata: {"type":"ping"}\n\n' in reply.text
    for event in reply.text.strip().split("\n\n"):
        name, data = event.split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"


def test_a_model_without_a_template_says_so(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="expected one with a chat template"):
        claude.messages.create(model="infill-10m", max_tokens=1, messages=USER)
    with pytest.raises(anthropic.BadRequestError, match="got one that has none"):
        claude.messages.count_tokens(model="infill-10m", messages=USER)
    with pytest.raises(anthropic.NotFoundError, match="expected one of calls"):
        claude.messages.create(model="claude-9", max_tokens=1, messages=USER)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"stop_sequences": [""]}, "stop_sequences"),
        ({"tools": [{"name": "a b"}]}, "tools.0.name"),
        ({"tools": [{"name": "a"}, {"name": "a"}]}, "tools.1"),
        ({"tools": [{"name": "a", "input_schema": {"type": "x"}}]}, "tools.0.input_schema.type"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "x"}}}},
         "output_config.format.schema"),
        ({"output_format": {"type": "json_schema", "schema": {"type": "x"}}},
         "output_format.schema"),
    ],
)  # fmt: skip
def test_what_the_library_refuses_is_told_of_the_field(
    http_anthropic: httpx.Client, body: dict[str, Any], field: str
) -> None:
    body = {"model": "calls", "max_tokens": 2, "messages": USER, **body}
    for stream in (False, True):
        reply = http_anthropic.post("/v1/messages", json={**body, "stream": stream})
        message = reply.json()["error"]["message"]
        assert (reply.status_code, message.partition(": ")[0]) == (400, field), message


def test_models_are_listed_as_anthropic_does(claude: anthropic.Anthropic) -> None:
    page = claude.models.list()
    assert [one.id for one in page] == ["calls", "thinks", "infill-10m"]
    assert (page.first_id, page.last_id, page.has_more) == ("calls", "infill-10m", False)
    found = claude.models.retrieve("calls")
    assert (found.type, found.display_name) == ("model", "calls")
    assert found.created_at.timestamp() == found.created > 0  # type: ignore[attr-defined]


def test_keys_come_as_anthropics_clients_send_them(chatting: Shelf) -> None:
    with serving(chatting, ServerSettings(keys={"secret": "ada"})) as url:
        for key, token, is_known in (
            ("secret", None, True), (None, "secret", True), ("other", None, False),
        ):  # fmt: skip
            http = anthropic.DefaultHttpxClient(trust_env=False)
            with anthropic.Anthropic(
                base_url=url, api_key=key, auth_token=token, max_retries=0, http_client=http
            ) as client:
                if is_known:
                    assert client.messages.count_tokens(model="calls", messages=USER).input_tokens
                    continue
                with pytest.raises(anthropic.AuthenticationError) as caught:
                    client.messages.count_tokens(model="calls", messages=USER)
    told: Any = caught.value.body
    assert told["error"]["type"] == "authentication_error"
    assert told["request_id"] == caught.value.request_id


def _said(*blocks: object, role: str = "user") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"max_tokens": None}, "max_tokens"), ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"), ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"), ({"messages": [{"role": "x"}]}, "messages.0."),
        ({"temperature": -0.1}, "temperature"), ({"temperature": "1"}, "temperature"),
        ({"top_p": 2}, "top_p"), ({"top_k": -1}, "top_k"), ({"stop_sequences": "x"}, "stop_seq"),
        ({"stop_sequences": ["x"] * 65}, "stop_seq"), ({"stop_sequences": [""]}, "stop"),
        ({"system": 1}, "system"), ({"system": [{"type": "image"}]}, "system.0.type"),
        ({"thinking": {"type": "on"}}, "thinking.type"),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, "thinking.budget_tokens"),
        ({"tools": [{}]}, "tools.0.name"), ({"tools": [{"name": "a b"}]}, "tools"),
        ({"tools": [{"name": "web_search", "type": "web_search_20250305"}]}, "tools.0.type"),
        ({"tools": TOOLS * 2}, "tools"), ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"tools": TOOLS, "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice"),
        ({"tools": TOOLS, "tool_choice": "any"}, "tool_choice"),
        ({"mcp_servers": [{"url": "http://x"}]}, "mcp_servers"), ({"stream": "yes"}, "stream"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_format": {"type": "json_schema"}}, "output_format.schema: Field required"),
        (_said({"type": "image", "source": {}}), "messages.0.content.0.type"),
        (_said({"type": "tool_use", "id": "a", "name": "b"}), "messages.0.content.0.type"),
        (_said({"type": "text"}), "messages.0.content.0.text"), (_said({}), "messages.0.content.0"),
        (_said({"type": "tool_result", "content": "x"}), "messages.0.content.0.tool_use_id"),
        (_said({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image"}]}),
         "messages.0.content.0.content.0.type"),
        (_said({"type": "tool_result", "tool_use_id": "a", "content": [1]}),
         "messages.0.content.0.content.0"),
        (_said({"type": "document", "source": {"type": "base64"}}),
         "messages.0.content.0.source.type"),
        ({"messages": [*USER, {"role": "assistant", "content": "{"}], "tools": TOOLS},
         "messages.1: expected a user's message where there are tools"),
        ({"messages": [{"role": "assistant", "content": "{"}]}, "messages.0: expected a user"),
        ({"messages": [*USER, {"role": "assistant", "content": "{"}], "model": "thinks",
          "thinking": {"type": "adaptive"}}, "messages.1"),
        ({"model": 5}, "model"),
    ],
)  # fmt: skip
def test_bad_values_are_named(
    http_anthropic: httpx.Client, body: dict[str, Any], named: str
) -> None:
    body = {"model": "calls", "max_tokens": 1, "messages": USER, **body}
    reply = http_anthropic.post("/v1/messages", json=body)
    told = reply.json()
    assert reply.status_code == 400 and told["type"] == "error", told
    assert told["error"]["type"] == "invalid_request_error"
    assert told["error"]["message"].startswith(named), told
    assert told["request_id"] == reply.headers["request-id"]
