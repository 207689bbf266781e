"""Parts that OpenAI's resources have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.generation.completion import Completion
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault, Kind, fault_of
from halfbyte.server.reply import event
from halfbyte.server.served_model import ServedModel

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


def answer_shell(exchange: Exchange, model: ServedModel, prefix: str, kind: str) -> dict[str, Any]:
    """What an answer begins with, and each of its chunks: a name with this prefix first."""
    return {
        "id": f"{prefix}-{exchange.request_id}", "object": kind, "created": exchange.created,
        "model": model.name, "system_fingerprint": model.fingerprint,
    }  # fmt: skip


def finish_reason(done: Completion) -> str:
    """Why an answer ended, in OpenAI's words: whatever was cut is of "length"."""
    return _REASONS.get(done.finish_reason, "length")


def usage(done: Sequence[Completion]) -> dict[str, Any]:
    """What answers to one prompt cost, in tokens."""
    stats, n_answers = done[0].stats, sum(len(one.tokens) for one in done)
    return counted(stats.n_prompt, stats.n_reused, n_answers)


def counted(n_prompt: int, n_cached: int, n_answers: int) -> dict[str, Any]:
    """Tokens of prompts, those of them that were known, and tokens of answers."""
    return {
        "prompt_tokens": n_prompt, "completion_tokens": n_answers,
        "total_tokens": n_prompt + n_answers,
        "prompt_tokens_details": {"cached_tokens": n_cached},
    }  # fmt: skip


def guess_details(done: Iterable[Completion]) -> dict[str, int]:
    """How much of a prediction came true."""
    stats = [one.stats for one in done]
    n_right = sum(one.n_accepted for one in stats)
    n_wrong = sum(one.n_drafted for one in stats) - n_right
    return {"accepted_prediction_tokens": n_right, "rejected_prediction_tokens": n_wrong}


@contextmanager
def naming(fields: Mapping[str, str]) -> Iterator[None]:
    """Errors about the library's arguments, told of the fields that they came in.

    Args:
        fields: an argument's name, and its field's; of others they are the same.

    Raises:
        Fault: in place of a RequestError.
    """
    try:
        yield
    except RequestError as error:
        fault = fault_of(error)
        name = fault.param.partition("[")[0]
        if name in fields:
            fault.param = fields[name] + fault.param[len(name) :]
            fault.message = fault.message.replace(name, fields[name], 1)
        raise fault from error


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
