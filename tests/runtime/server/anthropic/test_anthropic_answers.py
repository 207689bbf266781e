"""Errors and ends in Anthropic's words."""

from __future__ import annotations

import pytest

from halfbyte.generation.completion import Completion, FinishReason, Stats
from halfbyte.server.anthropic.anthropic_answers import ended, error, signature, usage
from halfbyte.server.anthropic.anthropic_protocol import PROTOCOL
from halfbyte.server.fault import STATUS, Fault, Kind

TYPES = {
    "invalid_request": "invalid_request_error", "context_length": "invalid_request_error",
    "authentication": "authentication_error", "permission": "permission_error",
    "not_found": "not_found_error", "too_large": "request_too_large",
    "rate_limit": "rate_limit_error", "overloaded": "overloaded_error", "internal": "api_error",
    "timeout": "timeout_error", "unreadable_call": "api_error",
}  # fmt: skip


@pytest.mark.parametrize("kind", STATUS)
def test_errors_have_anthropics_types(kind: Kind) -> None:
    fault = Fault(kind, "why")
    expected = {"type": TYPES.get(kind, "invalid_request_error"), "message": "why"}
    assert PROTOCOL.error(fault) == {"type": "error", "error": expected}
    fault.request_id = "r"
    assert error(fault) == {"type": "error", "error": expected, "request_id": "r"}


@pytest.mark.parametrize(
    ("reason", "stop", "expected"),
    [("stop", "", "end_turn"), ("stop", "x", "stop_sequence"), ("tool_calls", "", "tool_use"),
     ("length", "", "max_tokens"), ("context", "", "model_context_window_exceeded"),
     ("time", "", "max_tokens")],
)  # fmt: skip
def test_ends_have_anthropics_names(reason: FinishReason, stop: str, expected: str) -> None:
    stats = Stats(9, 0.1, 3, 0.1, 7)
    done = Completion(text="a", tokens=[], finish_reason=reason, stats=stats, stop_text=stop)
    assert ended(done) == {"stop_reason": expected, "stop_sequence": stop or None}
    told = usage(done)
    assert (told["input_tokens"], told["cache_read_input_tokens"]) == (2, 7)


def test_signatures_tell_thoughts_apart() -> None:
    assert signature("a") == signature("a") != signature("b")
