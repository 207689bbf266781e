"""Parts that OpenAI's resources have in common."""

from __future__ import annotations

from typing import Any

from halfbyte.generation.completion import Completion
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault, Kind
from halfbyte.server.reply import event

_TYPES: dict[Kind, str] = {
    "authentication": "authentication_error", "permission": "permission_error",
    "rate_limit": "rate_limit_error", "overloaded": "server_error", "timeout": "server_error",
    "internal": "server_error", "not_supported": "not_supported_error",
}  # fmt: skip
_CODES: dict[Kind, str] = {
    "context_length": "context_length_exceeded", "authentication": "invalid_api_key",
    "not_found": "not_found", "rate_limit": "rate_limit_exceeded", "timeout": "timeout",
}  # fmt: skip
_REASONS = {"stop": "stop", "tool_calls": "tool_calls"}


def answer_id(prefix: str, exchange: Exchange) -> str:
    """The name of an answer."""
    return f"{prefix}-{exchange.request_id}"


def finish_reason(done: Completion) -> str:
    """Why an answer ended, in OpenAI's words: whatever was cut is of "length"."""
    return _REASONS.get(done.finish_reason, "length")


def usage(done: list[Any]) -> dict[str, Any]:
    """What answers to one prompt cost, in tokens."""
    n_prompt, n_answers = done[0].stats.n_prompt, sum(len(one.tokens) for one in done)
    return {
        "prompt_tokens": n_prompt, "completion_tokens": n_answers,
        "total_tokens": n_prompt + n_answers,
        "prompt_tokens_details": {"cached_tokens": done[0].stats.n_reused},
    }  # fmt: skip


def ids_or_text(prompt: Any) -> Any:
    """A prompt as `complete` takes it."""
    return prompt


def stream_error(fault: Fault) -> bytes:
    """The event that ends a stream which fails."""
    return event(error(fault))


def error(fault: Fault) -> object:
    """A fault as OpenAI's clients read it."""
    code = _CODES.get(fault.kind)
    if fault.kind == "not_found" and fault.param == "model":
        code = "model_not_found"
    return {
        "error": {
            "message": fault.message, "type": _TYPES.get(fault.kind, "invalid_request_error"),
            "param": fault.param or None, "code": code,
        }
    }  # fmt: skip
