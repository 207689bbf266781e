"""From the body of a response to a call of `Model.chat`."""

from __future__ import annotations

from typing import Any

from halfbyte.server.ask import Ask
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import refused
from halfbyte.server.newest_turns import fitting
from halfbyte.server.openai.chat_asking import (
    must_call,
    schema_options,
    thinking_options,
    tool_options,
)
from halfbyte.server.openai.namespaces import full_name, offered
from halfbyte.server.openai.response_fields import ResponseFields, ResponseTool
from halfbyte.server.openai.response_input import input_messages
from halfbyte.server.served_model import ServedModel

_STATELESS = "null: this server keeps no conversations, so send all of its items as input"
_NAMES = {"messages": "input", "json_schema": "text.format", "repetition_penalty": "repeat_penalty"}


def response_ask(model: ServedModel, asked: ResponseFields) -> Ask:
    """The call that a body stands for.

    Raises:
        Fault: a field's value that can mean nothing, or needs something to be kept.
    """
    _check(asked)
    options = asked.sampling()
    most = asked.max_output_tokens
    options["max_tokens"] = model.n_ctx if most is None else most
    if asked.has_logprobs:
        options["logprobs"] = asked.top_logprobs or 0
    options |= _tools(asked)
    if asked.text is not None and asked.text.format is not None and not must_call(options):
        form = asked.text.format
        options |= schema_options(form.type, form.schema_, "text.format.schema")
    effort = None if asked.reasoning is None else asked.reasoning.effort
    options |= thinking_options(model, effort)
    return Ask("chat", (input_messages(asked.input, asked.instructions),), options)


async def fitting_ask(exchange: Exchange, model: ServedModel, asked: ResponseFields) -> Ask:
    """The same, with what is left of a conversation that is to be cut where it does not fit."""
    ask = response_ask(model, asked)
    return await fitting(exchange, model, ask) if asked.truncation == "auto" else ask


def response_name(asked: ResponseFields, argument: str) -> str:
    """A response's name of an argument of the library: of an item, that of all items."""
    head, _, rest = argument.partition(".")
    index, dot, field = rest.partition(".")
    if head == "tools" and index.isdigit():
        return list(offered(asked))[int(index)].where + dot + field.removeprefix("function.")
    return _NAMES.get(head) or argument


def _check(asked: ResponseFields) -> None:
    """Refuse, by name, what would have to be kept, and groups without names."""
    for name in ("previous_response_id", "conversation", "prompt"):
        if (value := getattr(asked, name)) is not None:
            raise refused(name, _STATELESS, value)
    if asked.store:
        raise refused("store", "false: this server keeps no answers", True)
    for i, tool in enumerate(asked.tools or ()):
        if tool.type == "namespace" and not tool.name:
            raise refused(f"tools.{i}.name", "a namespace's name", tool.name)
    if asked.background:
        raise refused("background", "false: an answer is sent to who asks for it", True)


def _tools(asked: ResponseFields) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if asked.tools:
        options["tools"] = [_tool(*one) for one in offered(asked)]
        if asked.parallel_tool_calls is False:
            options["parallel_tool_calls"] = False
    choice = asked.tool_choice
    if isinstance(choice, dict) and choice.get("type") == "function":
        options["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif choice is not None:
        options["tool_choice"] = choice
    return options | tool_options(options.get("tools"), options.get("tool_choice"))


def _tool(tool: ResponseTool, namespace: str | None, where: str) -> dict[str, Any]:
    if tool.type != "function":
        raise refused(f"{where}.type", "function: this server has no tools of its own", tool.type)
    name = None if tool.name is None else full_name(namespace, tool.name)
    given = {"name": name, "description": tool.description, "parameters": tool.parameters}
    function = {name: value for name, value in given.items() if value is not None}
    return {"type": "function", "function": function}
