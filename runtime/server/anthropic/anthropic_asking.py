"""From the body of `/v1/messages` to a call of `Model.chat`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from halfbyte.errors import ContextLengthError, RequestError, UnsupportedModelError
from halfbyte.server.anthropic.anthropic_conversation import conversation
from halfbyte.server.anthropic.anthropic_fields import (
    MessageFields,
    OfferedTool,
    PromptFields,
    ToolChoice,
)
from halfbyte.server.ask import Ask
from halfbyte.server.dropped import messages_without
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault, fault_of, lacks_template, renamed
from halfbyte.server.prompts import as_chat, chat_prompt_of
from halfbyte.server.served_model import ServedModel

_SAME_NAME = ("max_tokens", "temperature", "top_p", "top_k")
_OF_PROMPT = ("tools", "tool_choice", "parallel_tool_calls", "thinking", "reasoning_budget")
_FIELDS = {
    "stop": "stop_sequences", "reasoning_budget": "thinking.budget_tokens",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
}  # fmt: skip
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


async def message_ask(exchange: Exchange, model: ServedModel, asked: MessageFields) -> Ask:
    """The call that a body stands for; where it gives an answer's beginning, that goes on.

    Raises:
        Fault: a field's value that means nothing here.
    """
    messages, options = prompt_of(model, asked)
    begun = messages.pop() if messages[-1]["role"] == "assistant" else None
    options |= {n: value for n in _SAME_NAME if (value := getattr(asked, n)) is not None}
    if asked.stop_sequences:
        options["stop"] = asked.stop_sequences
    config = asked.output_config
    form = asked.output_format if config is None or config.format is None else config.format
    if form is not None:
        options["json_schema"] = form.schema_
    ask = Ask("chat", (messages,), options)
    if begun is None:
        return ask
    return await _continued(exchange, model, ask, begun, f"messages.{len(asked.messages) - 1}")


def prompt_of(
    model: ServedModel, asked: PromptFields
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The messages, and the keywords of `chat` that change its prompt.

    Raises:
        Fault: a block, a tool or a server's business that means nothing here.
    """
    _mention(asked)
    if asked.mcp_servers:
        message = "mcp_servers: expected none, since the server is a client of no others"
        raise Fault("invalid_request", message, param="mcp_servers")
    messages = conversation(asked)
    return messages, {**_tools(asked), **_thinking(model, asked)}


async def _continued(
    exchange: Exchange, model: ServedModel, ask: Ask, begun: dict[str, Any], last: str
) -> Ask:
    """A call that continues an answer's beginning, the message `last`, which is a text alone."""
    options, patterns = dict(ask.options), exchange.settings.dropped
    messages = messages_without(ask.arguments[0], patterns)  # later there are ids alone
    asked = {name: options.pop(name) for name in _OF_PROMPT if name in options}
    expected = ""
    if "tools" in asked or asked.get("thinking") or begun.keys() - {"role", "content"}:
        expected = "a user's message where there are tools or thoughts"
    elif not messages:
        expected = "a user's message before an answer's beginning"
    if not expected:
        prompt = await exchange.prepared(chat_prompt_of, model.model, messages, asked)
        if not prompt.is_thinking:
            ids = [*prompt.tokens, *model.model.tokenizer.encode_fragment(begun["content"])]
            return Ask("complete", (ids,), as_chat(model.model, prompt, options))
        expected = "a user's message, since the model thinks first"
    raise Fault("invalid_request", f"{last}: expected {expected}", param=last)


def _field(asked: PromptFields, argument: str) -> str:
    """Where an argument of the library stands in the body; messages are counted otherwise there."""
    head, dot, rest = argument.partition(".")
    if head == "messages":
        return head
    if head == "json_schema":
        head = "output_format" if asked.output_config is None else "output_config.format"
        head += ".schema"
    rest = rest.replace("function.parameters", "input_schema").replace("function.", "")
    return f"{_FIELDS.get(head, head)}{dot}{rest}"


@contextmanager
def anthropic_errors(asked: PromptFields) -> Iterator[None]:
    """Errors of the library, in words that Anthropic's clients look for.

    Raises:
        Fault: in their place.
    """
    try:
        yield
    except ContextLengthError as error:
        message = f"prompt is too long: {error.n_tokens} tokens > {error.n_ctx} maximum"
        raise Fault("context_length", message, param="messages") from error
    except UnsupportedModelError as error:
        if lacks_template(error):
            raise fault_of(error) from error
        message = f"model: {str(error).replace(f'{error.path}: ', '')}"
        raise Fault("invalid_request", message, param="model") from error
    except RequestError as error:
        raise renamed(error, partial(_field, asked)) from error


def _tools(asked: PromptFields) -> dict[str, Any]:
    choice = asked.tool_choice
    made: dict[str, Any] = {}
    if asked.tools:
        made["tools"] = [_tool(tool, f"tools.{i}") for i, tool in enumerate(asked.tools)]
    if choice is None:
        return made
    if choice.type == "tool" and choice.name is None:
        message = "tool_choice.name: expected the name of one of the tools, got none"
        raise Fault("invalid_request", message, param="tool_choice.name")
    _check_choice(choice, [tool.name for tool in asked.tools or ()])
    made["tool_choice"] = _CHOICES.get(choice.type, choice.name)
    if choice.disable_parallel_tool_use and asked.tools:
        made["parallel_tool_calls"] = False
    return made


def _check_choice(choice: ToolChoice, names: list[str]) -> None:
    """Refuse a choice of none, in the words that it was made in."""
    if choice.type in ("any", "tool") and not names:
        message = f"tool_choice: expected tools to choose from, got {choice.type!r} without any"
        raise Fault("invalid_request", message, param="tool_choice")
    if choice.type == "tool" and choice.name not in names:
        expected = f"one of {', '.join(names)[:200]}"
        message = f"tool_choice.name: expected {expected}, got {str(choice.name)[:100]!r}"
        raise Fault("invalid_request", message, param="tool_choice.name")


def _tool(tool: OfferedTool, where: str) -> dict[str, Any]:
    """A function; what runs at Anthropic's, or has a meaning without a schema, is refused."""
    if tool.type not in (None, "custom") and tool.input_schema is None:
        expected = "functions with an input_schema, since the server runs none itself"
        message = f"{where}.type: expected {expected}, got {tool.type[:100]!r}"
        raise Fault("invalid_request", message, param=f"{where}.type")
    parameters = tool.input_schema or {"type": "object", "properties": {}}
    described = {} if tool.description is None else {"description": tool.description}
    return {
        "type": "function",
        "function": {"name": tool.name, **described, "parameters": parameters},
    }


def _thinking(model: ServedModel, asked: PromptFields) -> dict[str, Any]:
    """Thoughts are off unless they are asked for; a model without any takes no notice."""
    config = asked.thinking
    if not model.can_think:
        return {}
    is_on = config is not None and config.type != "disabled"
    made: dict[str, Any] = {"thinking": is_on} if model.has_switch else {}
    if config is not None and config.budget_tokens is not None and is_on:
        made["reasoning_budget"] = config.budget_tokens
    return made


def _mention(asked: PromptFields) -> None:
    """A word, once, about fields within fields that are without effect."""
    parts = [*(asked.tools or ()), asked.tool_choice, asked.thinking, asked.output_config]
    for part in parts:
        if part is not None:
            part.mention("Anthropic")
