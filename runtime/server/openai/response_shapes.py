"""Responses as OpenAI's clients read them: an object, and the items of its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halfbyte.generation.chat_completion import ChatCompletion, ToolCall
from halfbyte.server.openai.chat_shapes import call_shape, n_reasoning_tokens
from halfbyte.server.openai.namespaces import called
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.openai.shapes import finish_reason
from halfbyte.server.served_model import ServedModel

Item = dict[str, Any]


def response_shell(
    model: ServedModel, asked: ResponseFields, request_id: str, created: int
) -> dict[str, Any]:
    """A response that has only begun: what was asked, and what stands for what was not."""
    defaults = model.model.chat_defaults
    given = asked.model_dump(by_alias=True, exclude_none=True)
    reasoning = {"effort": None, "summary": None, **given.get("reasoning", {})}
    text = {"format": {"type": "text"}, **given.get("text", {})}
    return {
        "id": f"resp_{request_id}", "object": "response", "created_at": created,
        "status": "in_progress", "background": False, "error": None, "incomplete_details": None,
        "instructions": asked.instructions, "max_output_tokens": asked.max_output_tokens,
        "model": model.name, "output": [], "parallel_tool_calls": asked.parallel_tool_calls is not
        False, "previous_response_id": None, "reasoning": reasoning, "store": False,
        "temperature": _given(asked.temperature, defaults.get("temperature", 1.0)), "text": text,
        "tool_choice": asked.tool_choice or "auto", "tools": given.get("tools", []),
        "top_p": _given(asked.top_p, defaults.get("top_p", 1.0)),
        "truncation": asked.truncation or "disabled", "usage": None,
        "metadata": asked.metadata or {},
    }  # fmt: skip


def ended(
    shell: dict[str, Any], model: ServedModel, done: ChatCompletion, output: Sequence[Item]
) -> dict[str, Any]:
    """The same with its output."""
    is_cut = finish_reason(done) == "length"
    return {
        **shell, "status": status_of(done), "output": list(output),
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "usage": _usage(model, done),
    }  # fmt: skip


def status_of(done: ChatCompletion) -> str:
    """Whether an answer ended by itself."""
    return "incomplete" if finish_reason(done) == "length" else "completed"


def needs_message(done: ChatCompletion) -> bool:
    """Whether an answer without a text has a message all the same."""
    return not done.tool_calls and not (done.reasoning and status_of(done) == "incomplete")


def item_id(kind: str, request_id: str, index: int) -> str:
    """The name of an item."""
    return f"{kind}_{request_id}_{index}"


def message_item(made: str, text: str | None, status: str, told: Sequence[Any] = ()) -> Item:
    """A text; None for one that has only begun."""
    content = [] if text is None else [text_part(text, told)]
    return {
        "id": made, "type": "message", "role": "assistant", "status": status, "content": content,
    }  # fmt: skip


def text_part(text: str, told: Sequence[Any] = ()) -> dict[str, Any]:
    """The one part of a text."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": list(told)}


def reasoning_item(made: str, text: str | None, status: str, *, is_summary: bool) -> Item:
    """Thoughts, where a summary is asked for as such."""
    item: Item = {"id": made, "type": "reasoning", "summary": [], "content": [], "status": status,
                  "encrypted_content": None}  # fmt: skip
    if text is not None:
        item["summary" if is_summary else "content"] = [thought_part(text, is_summary=is_summary)]
    return item


def thought_part(text: str, *, is_summary: bool) -> dict[str, Any]:
    """The one part of thoughts."""
    return {"type": "summary_text" if is_summary else "reasoning_text", "text": text}


def call_item(made: str, asked: ResponseFields, call: ToolCall, *, is_begun: bool = False) -> Item:
    """A call of a function; one that has only begun has no arguments."""
    function = call_shape(call)["function"]
    return {
        "id": made, "type": "function_call", "call_id": call.id, **called(asked, call.name),
        "arguments": "" if is_begun else function["arguments"],
        "status": "in_progress" if is_begun else "completed",
    }  # fmt: skip


def _usage(model: ServedModel, done: ChatCompletion) -> dict[str, Any]:
    n_input, n_output = done.stats.n_prompt, len(done.tokens)
    return {
        "input_tokens": n_input,
        "input_tokens_details": {"cached_tokens": done.stats.n_reused, "cache_write_tokens": 0},
        "output_tokens": n_output,
        "output_tokens_details": {"reasoning_tokens": n_reasoning_tokens(model, done)},
        "total_tokens": n_input + n_output,
    }


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
