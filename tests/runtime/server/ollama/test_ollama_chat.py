"""`/api/chat` gives what `model.chat` gives, through Ollama's own client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import ollama
import pytest

import halfbyte
from halfbyte.generation.chat_completion import ToolCall
from halfbyte.server.ollama.ollama_conversation import OllamaMessage, conversation
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

PARAMETERS = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9}, "of": {"enum": ["a"]}},
    "required": ["n", "of"],
}
TOOLS = [{"type": "function", "function": {"name": "count", "parameters": PARAMETERS}}]
USER = [{"role": "user", "content": "def f("}]
FEW: dict[str, Any] = {"num_predict": 12, "temperature": 0}
CALLING: dict[str, Any] = {"num_predict": 60, "temperature": 0}


def test_a_conversation_is_answered(
    client: ollama.Client, models: dict[str, halfbyte.Model]
) -> None:
    done = models["calls"].chat(USER, max_tokens=12, temperature=0)
    got = client.chat("calls", USER, options=FEW)
    assert (got.message.content, got.message.role) == (done.text, "assistant")
    assert (got.done, got.done_reason, got.eval_count) == (True, "length", 12)
    pieces = [*client.chat("calls:latest", USER, options=FEW, stream=True)]
    assert "".join(one.message.content for one in pieces) == done.text
    assert [one.done for one in pieces] == [False] * (len(pieces) - 1) + [True]


def test_thoughts_have_a_field(client: ollama.Client, models: dict[str, halfbyte.Model]) -> None:
    done = models["thinks"].chat(
        USER, max_tokens=12, temperature=0, thinking=True, reasoning_budget=1024
    )
    got = client.chat("thinks", USER, options=FEW, think="low")
    assert (got.message.thinking, got.message.content) == (done.reasoning, "") and done.reasoning
    quiet = client.chat("thinks", USER, options=FEW, think=False)
    assert quiet.message.thinking is None and quiet.message.content
    with pytest.raises(ollama.ResponseError, match="does not support thinking"):
        client.chat("calls", USER, think=True)


def test_calls_have_objects_for_arguments(
    client: ollama.Client, models: dict[str, halfbyte.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    must_call(monkeypatch)
    done = models["calls"].chat(
        USER, max_tokens=60, temperature=0, tools=TOOLS, tool_choice="count"
    )
    (expected,) = done.tool_calls
    got = client.chat("calls", USER, tools=TOOLS, options=CALLING)
    assert (got.message.content, got.done_reason) == ("", "stop")
    *pieces, last = client.chat("calls", USER, tools=TOOLS, options=CALLING, stream=True)
    (piece,) = [one for one in pieces if one.message.tool_calls]
    assert not piece.done and last.done_reason == "stop" and not last.message.tool_calls
    for message in (got.message, piece.message):
        (call,) = message.tool_calls
        assert (call.function.name, call.function.arguments) == ("count", expected.arguments)


def must_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each chat with tools call `count`, which this protocol cannot ask for."""
    for name in ("achat", "astream_chat"):
        plain = getattr(halfbyte.Model, name)

        def calling(self: Any, *args: Any, plain: Any = plain, **options: Any) -> Any:
            if options.get("tools"):
                options["tool_choice"] = "count"
            return plain(self, *args, **options)

        monkeypatch.setattr(halfbyte.Model, name, calling)


def test_calls_come_as_json_with_ids(
    http_ollama: httpx.Client, models: dict[str, halfbyte.Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    must_call(monkeypatch)
    how = {"model": "calls", "messages": USER, "tools": TOOLS, "options": CALLING}
    done = models["calls"].chat(
        USER, max_tokens=60, temperature=0, tools=TOOLS, tool_choice="count"
    )
    call: ToolCall = done.tool_calls[0]
    expected = [
        {"id": f"call_{call.id}",
         "function": {"index": 0, "name": "count", "arguments": dict(call.arguments)}}
    ]  # fmt: skip
    reply = http_ollama.post("/api/chat", json=how)
    assert reply.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in reply.text.splitlines()]
    assert [one["message"].get("tool_calls") for one in lines] == [expected, None]
    reply = http_ollama.post("/api/chat", json={**how, "stream": False})
    assert reply.json()["message"]["tool_calls"] == expected


def test_results_go_with_their_calls(
    http_ollama: httpx.Client, models: dict[str, halfbyte.Model]
) -> None:
    call = {"function": {"name": "count", "arguments": {"n": 1, "of": "a"}}}
    asked = [
        *USER, {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_name": "count", "content": "5"},
    ]  # fmt: skip
    messages = conversation([OllamaMessage.model_validate(one) for one in asked])
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"]
    done = models["calls"].chat(messages, tools=TOOLS, max_tokens=12, temperature=0)
    # Not by the client, which leaves parts of schemas out.
    body = {"model": "calls", "messages": asked, "tools": TOOLS, "options": FEW, "stream": False}
    got = http_ollama.post("/api/chat", json=body).json()
    assert got["message"]["content"] == done.text
    assert got["prompt_eval_count"] == done.stats.n_prompt


def test_no_messages_load_the_model(client: ollama.Client) -> None:
    assert client.chat("calls", []).done_reason == "load"
    assert client.chat("calls", [], keep_alive="0s").done_reason == "unload"
    assert client.chat("calls", [], keep_alive=-1).done_reason == "load"
    with pytest.raises(ollama.ResponseError, match="model not found") as caught:
        client.chat("nobody", [], keep_alive=0)
    assert caught.value.status_code == 404


def test_the_asynchronous_client_too(chat_url: str, models: dict[str, halfbyte.Model]) -> None:
    async def ask() -> str:
        async with ollama.AsyncClient(chat_url, trust_env=False) as client:
            parts = await client.chat("calls", USER, options=FEW, stream=True)
            return "".join([one.message.content async for one in parts])

    done = models["calls"].chat(USER, max_tokens=12, temperature=0)
    assert asyncio.run(ask()) == done.text


def test_keys_come_as_ollamas_clients_send_them(
    chatting: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(chatting, ServerSettings(keys={"secret": "ada"})) as url:
        for key in ("secret", "other"):
            monkeypatch.setenv("OLLAMA_API_KEY", key)
            with ollama.Client(url, trust_env=False) as client:
                if key == "secret":
                    assert client.list().models
                else:
                    with pytest.raises(ollama.ResponseError) as caught:
                        client.list()
    assert caught.value.status_code == 401


def test_an_error_within_a_stream_is_a_line(
    client: ollama.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        halfbyte.Model, "astream_chat", _broken(halfbyte.Model.astream_chat), raising=True
    )
    pieces = client.chat("calls", USER, options=FEW, stream=True)
    with pytest.raises(ollama.ResponseError, match="the server failed"):
        list(pieces)


def _broken(method: Any) -> Any:
    def stream(self: Any, *args: Any, **options: Any) -> Any:
        made = method(self, *args, **options)

        taken = made.batch

        async def batch() -> Any:
            made.batch = fail
            return await taken()

        async def fail() -> Any:
            raise KeyError("within")

        made.batch = batch
        return made

    return stream


CALL = {"function": {"name": "count", "arguments": {}}}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"messages": "x"}, "messages"), ({"messages": [{"role": "robot"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "a", "images": ["b"]}]}, "messages.0.images"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages.0.tool_calls.0"),
        ({"messages": [{"role": "assistant",
                        "tool_calls": [{"function": {"name": "a", "arguments": "{}"}}]}]},
         "messages.0.tool_calls.0.function.arguments"),
        ({"tools": [{}]}, "tools.0:"), ({"tools": "x"}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name:"),
        ({"options": {"mirostat_tau": -1}}, "options.mirostat_tau"),
        ({"options": {"stop": [""]}}, "options.stop:"), ({"format": {"type": "x"}}, "format:"),
        ({"keep_alive": {}}, "keep_alive"), ({"logprobs": "yes"}, "logprobs"),
    ],
)  # fmt: skip
def test_bad_values_are_named(http_ollama: httpx.Client, body: dict[str, Any], named: str) -> None:
    body = {"model": "calls", "messages": USER, **body}
    reply = http_ollama.post("/api/chat", json=body)
    assert reply.status_code == 400 and reply.json()["error"].startswith(named), reply.text


def test_a_model_without_a_template_says_so(client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model: expected one with a chat template") as e:
        client.chat("infill-10m", USER)
    assert e.value.status_code == 400 and "format=" not in e.value.error
