"""Errors as llama.cpp's clients read them."""

from __future__ import annotations

import pytest

from halfbyte.errors import ContextLengthError
from halfbyte.server.fault import Fault, Kind, fault_of
from halfbyte.server.llama_cpp.llama_protocol import PROTOCOL
from halfbyte.server.llama_cpp.llama_shapes import llama_error


@pytest.mark.parametrize(
    ("kind", "code", "told"),
    [("invalid_request", 400, "invalid_request_error"), ("not_found", 404, "not_found_error"),
     ("authentication", 401, "authentication_error"), ("permission", 403, "permission_error"),
     ("not_supported", 501, "not_supported_error"), ("overloaded", 503, "unavailable_error"),
     ("rate_limit", 429, "unavailable_error"), ("internal", 500, "server_error")],
)  # fmt: skip
def test_an_error_has_a_code_and_a_type(kind: Kind, code: int, told: str) -> None:
    assert PROTOCOL.error is llama_error
    expected = {"error": {"code": code, "message": "what", "type": told}}
    assert llama_error(Fault(kind, "what", param="n")) == expected


def test_a_prompt_that_is_too_long_tells_both_numbers() -> None:
    error = llama_error(fault_of(ContextLengthError(3003, 512)))
    assert isinstance(error, dict)
    told = error["error"]
    assert (told["n_prompt_tokens"], told["n_ctx"]) == (3003, 512)
    assert (told["code"], told["type"]) == (400, "exceed_context_size_error")
