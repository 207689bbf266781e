"""Answers as Anthropic's clients read them: a message, its usage, and errors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from halfbyte.generation.chat_completion import ChatCompletion, ToolCall
from halfbyte.generation.completion import Completion
from halfbyte.server.anthropic.anthropic_conversation import CALL_PREFIX
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault, Kind
from halfbyte.server.served_model import ServedModel

_TYPES: dict[Kind, str] = {
    "authentication": "authentication_error", "permission": "permission_error",
    "not_found": "not_found_error", "too_large": "request_too_large",
    "rate_limit": "rate_limit_error", "overloaded": "overloaded_error",
    "timeout": "timeout_error", "internal": "api_error", "unreadable_call": "api_error",
}  # fmt: skip
_REASONS = {
    "stop": "end_turn", "tool_calls": "tool_use", "context": "model_context_window_exceeded",
}  # fmt: skip


def message(exchange: Exchange, model: ServedModel, done: Completion) -> dict[str, Any]:
    """A whole answer."""
    return {
        **opened(exchange, model), "content": _content(done), **ended(done),
        "usage": usage(done),
    }  # fmt: skip


def opened(exchange: Exchange, model: ServedModel) -> dict[str, Any]:
    """What is known of an answer before it begins."""
    return {
        "id": f"msg_{exchange.request_id}", "type": "message", "role": "assistant",
        "model": model.name, "content": [], "stop_reason": None, "stop_sequence": None,
    }  # fmt: skip


def ended(done: Completion) -> dict[str, Any]:
    """Why an answer ended."""
    stop = done.stop_text if done.finish_reason == "stop" else ""
    reason = "stop_sequence" if stop else _REASONS.get(done.finish_reason, "max_tokens")
    return {"stop_reason": reason, "stop_sequence": stop or None}


def usage(done: Completion) -> dict[str, Any]:
    """Tokens; what was remembered of the prompt is counted apart, as Anthropic does."""
    stats = done.stats
    return {
        "input_tokens": stats.n_prompt - stats.n_reused, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": stats.n_reused, "output_tokens": len(done.tokens),
    }  # fmt: skip


def signature(thoughts: str) -> str:
    """Clients want thoughts signed; nobody checks it here."""
    return hashlib.sha256(thoughts.encode()).hexdigest()


def tool_use(call: ToolCall) -> dict[str, Any]:
    """A call of a function."""
    return {
        "type": "tool_use", "id": f"{CALL_PREFIX}{call.id}", "name": call.name,
        "input": dict(call.arguments),
    }  # fmt: skip


def error(fault: Fault) -> object:
    """A fault as Anthropic's clients read it."""
    kind = _TYPES.get(fault.kind, "invalid_request_error")
    told = {"type": "error", "error": {"type": kind, "message": fault.message}}
    return {**told, "request_id": fault.request_id} if fault.request_id else told


def _content(done: Completion) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    thoughts = done.reasoning if isinstance(done, ChatCompletion) else ""
    calls = calls_of(done)
    if thoughts:
        blocks.append({"type": "thinking", "thinking": thoughts, "signature": signature(thoughts)})
    if done.text or not (blocks or calls):
        blocks.append({"type": "text", "text": done.text})
    return blocks + [tool_use(call) for call in calls]


def calls_of(done: Completion) -> Sequence[ToolCall]:
    """The functions that an answer calls."""
    return done.tool_calls if isinstance(done, ChatCompletion) else ()
