"""Errors as OpenAI's clients read them."""

from __future__ import annotations

from halfbyte.server.fault import Fault
from halfbyte.server.openai.openai_protocol import PROTOCOL
from halfbyte.server.openai.shapes import error


def test_an_error_names_its_field() -> None:
    fault = Fault("not_found", "no such model", param="model")
    assert PROTOCOL.error(fault) == error(fault) == {
        "error": {
            "message": "no such model", "type": "invalid_request_error", "param": "model",
            "code": "model_not_found",
        }
    }  # fmt: skip
