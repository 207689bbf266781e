"""From the body of a chat to a call of `Model.chat`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from halfbyte.errors import RequestError, UnsupportedModelError
from halfbyte.server.ask import Ask
from halfbyte.server.fault import Fault, lacks_template, refused, renamed
from halfbyte.server.openai.chat_fields import ChatFields, FormatKind
from halfbyte.server.openai.chat_messages import library_messages
from halfbyte.server.sampling_fields import biases_of
from halfbyte.server.served_model import ServedModel

# Most tokens of thoughts for each effort; None: as many as the model likes.
BUDGETS: dict[str, int | None] = {"low": 1024, "medium": 4096, "high": 16384, "xhigh": None}
_SAME_NAME = ("presence_penalty", "frequency_penalty", "stop", "tool_choice")


def chat_ask(model: ServedModel, asked: ChatFields) -> Ask:
    """The call that a body stands for.

    Raises:
        Fault: a field's value that can mean nothing.
    """
    _check(asked)
    options = asked.sampling() | asked.given(*_SAME_NAME)
    options["max_tokens"] = _max_tokens(model, asked)
    biases = biases_of(asked.logit_bias or {})
    if asked.ignore_eos:
        biases |= dict.fromkeys(model.model.tokenizer.eog_ids, -math.inf)
    if biases:
        options["logit_bias"] = biases
    if asked.logprobs:
        options["logprobs"] = asked.top_logprobs or 0
    if asked.prediction is not None:
        options["prediction"] = asked.prediction.text
    if asked.tools:
        options["tools"] = [_tool(tool) for tool in asked.tools]
        if asked.parallel_tool_calls is False:
            options["parallel_tool_calls"] = False
    options |= tool_options(options.get("tools"), asked.tool_choice)
    if not must_call(options):
        options |= _constraint(asked)
    options |= thinking_options(model, asked.reasoning_effort, _switch(asked))
    if (told := asked.chat_template_kwargs) is not None:
        options |= told.given("reasoning_effort")  # in the template's own words
    options |= asked.given("reasoning_budget")  # goes before an effort's
    n = asked.n if asked.n and asked.n > 1 else None
    if n and asked.temperature is None and not model.model.chat_defaults["temperature"]:
        options["temperature"] = 1.0
    return Ask("chat", (library_messages(asked.messages),), options, n)


@contextmanager
def chat_errors(model: ServedModel, named: Callable[[str], str]) -> Iterator[None]:
    """Errors of the library, told of the body's fields.

    Args:
        model: who is asked.
        named: gives the body's name of one of the library's arguments, with dots between names.

    Raises:
        Fault: in their place.
    """
    try:
        yield
    except UnsupportedModelError as error:
        message = str(error).replace(f"{error.path}: ", "")
        if lacks_template(error):
            message = (
                f"model: expected one with a chat template, got {model.name!r}, which has none: "
                "/v1/completions continues a text"
            )
        raise Fault("invalid_request", message, param="model") from error
    except RequestError as error:
        raise renamed(error, named) from error


def chat_name(asked: ChatFields, argument: str) -> str:
    """A chat's name of an argument of the library."""
    if argument == "json_schema" and asked.response_format is not None:
        return "response_format"
    return "repeat_penalty" if argument == "repetition_penalty" else argument


def tool_options(tools: list[dict[str, Any]] | None, choice: object) -> dict[str, Any]:
    """Which functions may be called; a choice of OpenAI's "allowed_tools" leaves some of them.

    Raises:
        Fault: a choice of another kind than functions.
    """
    if not isinstance(choice, dict):
        return {}
    kind, where = choice.get("type", "function"), "tool_choice"
    if kind == "function":
        return {}
    if kind != "allowed_tools":
        raise refused(f"{where}.type", "function or allowed_tools", kind)
    allowed = choice.get("allowed_tools", choice)
    mode, wanted = None, None
    if isinstance(allowed, dict):
        mode, wanted = allowed.get("mode", "auto"), allowed.get("tools")
    if mode not in ("auto", "required") or not isinstance(wanted, list):
        raise refused(where, 'a mode, "auto" or "required", and tools', choice)
    left = [tool for tool in tools or () if any(_name(one) == _name(tool) for one in wanted)]
    if len(left) < len(wanted):
        raise refused(f"{where}.tools", "some of tools", [_name(one) for one in wanted])
    return {"tools": left, "tool_choice": mode}


def must_call(options: Mapping[str, Any]) -> bool:
    """Whether an answer has to be calls, so that nothing else is of any format."""
    choice = options.get("tool_choice")
    return bool(options.get("tools")) and choice not in (None, "auto", "none")


def schema_options(kind: FormatKind, schema: object, where: str) -> dict[str, Any]:
    """What an answer has to be; an object's schema may be missing.

    Args:
        kind: the format's type.
        schema: what it says of the answer.
        where: the schema's field, for errors.

    Raises:
        Fault: the schema is missing.
    """
    if kind == "text":
        return {}
    if schema is None and kind == "json_schema":
        raise refused(where, "a JSON schema", None)
    return {"json_schema": {"type": "object"} if schema is None else schema}


def thinking_options(
    model: ServedModel, effort: str | None, switch: bool | None = None
) -> dict[str, Any]:
    """Whether and how long a model thinks; nothing for one that never does.

    Args:
        model: who is asked.
        effort: one of OpenAI's; "none" and "minimal" switch thoughts off. Others are told to a
            template that reads them, and are a budget elsewhere.
        switch: on or off as the template calls it, which goes before an effort's.
    """
    options: dict[str, Any] = {}
    if not model.can_think:
        return options
    if effort is not None:
        options["thinking"] = effort in BUDGETS
        if effort in BUDGETS and model.reads_effort:
            options["reasoning_effort"] = "high" if effort == "xhigh" else effort
        elif (budget := BUDGETS.get(effort)) is not None:
            options["reasoning_budget"] = budget
    if switch is not None:
        options["thinking"] = switch
    if options.get("thinking") and not model.has_switch:
        del options["thinking"]  # it thinks in any case
    return options


def _switch(asked: ChatFields) -> bool | None:
    given = asked.chat_template_kwargs
    if given is None:
        return None
    return given.thinking if given.enable_thinking is None else given.enable_thinking


def _check(asked: ChatFields) -> None:
    if asked.top_logprobs is not None and not asked.logprobs:
        raise refused("top_logprobs", "logprobs: true beside it", asked.top_logprobs)
    for name, instead in (("functions", "tools"), ("function_call", "tool_choice")):
        if (value := getattr(asked, name)) is not None:
            raise refused(name, f"{instead}, which took its place", value)


def _max_tokens(model: ServedModel, asked: ChatFields) -> int:
    """What is not limited goes on to the context's end."""
    for value in (asked.max_completion_tokens, asked.max_tokens, asked.n_predict):
        if value is not None and value >= 0:
            return value
    return model.n_ctx


def _constraint(asked: ChatFields) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if (form := asked.response_format) is not None:
        named = form.json_schema
        schema = named.schema_ if named is not None and named.schema_ is not None else form.schema_
        options = schema_options(form.type, schema, "response_format.json_schema.schema")
    if asked.json_schema is not None:
        if options:
            raise refused("json_schema", "nothing beside response_format", asked.json_schema)
        options["json_schema"] = asked.json_schema
    return {**options, "grammar": asked.grammar} if asked.grammar else options


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    """As the library takes it: without nulls, and without `strict`, which every call is."""
    function = tool.get("function")
    if not isinstance(function, dict):
        return tool
    kept = {k: v for k, v in function.items() if v is not None and k != "strict"}
    return {**tool, "function": kept}


def _name(tool: object) -> object:
    """A function's name, as chats or as responses write it."""
    if not isinstance(tool, dict):
        return None
    function = tool.get("function")
    return function.get("name") if isinstance(function, dict) else tool.get("name")
