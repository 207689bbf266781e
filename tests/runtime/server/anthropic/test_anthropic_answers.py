"""Errors and ends in Anthropic's words."""

from __future__ import annotations

import pytest

from halfbyte.generation.completion import Completion, FinishReason, Stats
from halfbyte.server.anthropic.anthropic_answers import ended, error, signature, usage
from halfbyte.server.anthropic.anthropic_protocol import PROTOCOL
from halfbyte.server.fault import STATUS, Fault, Kind
from halfbyte.server.shelf import Shelf

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
    ("reason", "expected"),
    [("stop", "end_turn"), ("tool_calls", "tool_use"), ("length", "max_tokens"),
     ("context", "model_context_window_exceeded"), ("time", "max_tokens")],
)  # fmt: skip
def test_ends_have_anthropics_names(shelf: Shelf, reason: FinishReason, expected: str) -> None:
    done = Completion(text="a", tokens=[], finish_reason=reason, stats=Stats(9, 0.1, 3, 0.1, 7))
    ending = ended(shelf.loaded()[0], done, ["x"])
    assert ending == {"stop_reason": expected, "stop_sequence": None}
    told = usage(done)
    assert (told["input_tokens"], told["cache_read_input_tokens"]) == (2, 7)


def test_the_first_of_several_stops_counts(shelf: Shelf) -> None:
    served = shelf.loaded()[0]
    tokens = served.model.tokenizer.encode_fragment("return x")
    done = Completion(text="re", tokens=tokens, finish_reason="stop", stats=Stats(1, 0, 0, 0))
    ending = ended(served, done, ["x", "turn", "urn"])
    assert ending == {"stop_reason": "stop_sequence", "stop_sequence": "turn"}


def test_signatures_tell_thoughts_apart() -> None:
    assert signature("a") == signature("a") != signature("b")
