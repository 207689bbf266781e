"""Tokens are counted as they are in an answer's usage."""

from __future__ import annotations

from typing import Any

import httpx
import openai

from tests.runtime.server.openai.chatting import FUNCTION, TOOLS, USER


def test_counts_are_those_of_answers(chatter: openai.OpenAI, post: httpx.Client) -> None:
    how: Any = {"model": "calls", "tools": [{"type": "function", **FUNCTION}],
                "instructions": "Be short."}  # fmt: skip
    got = chatter.responses.input_tokens.count(input="x", **how)
    answer = chatter.responses.create(input="x", max_output_tokens=1, **how)
    assert answer.usage is not None and got.input_tokens == answer.usage.input_tokens > 20
    body = {"model": "calls", "messages": USER, "tools": TOOLS, "max_tokens": 1}
    count = post.post("/v1/chat/completions/input_tokens", json=body).json()
    whole = post.post("/v1/chat/completions", json=body).json()
    assert count == {
        "object": "response.input_tokens", "input_tokens": whole["usage"]["prompt_tokens"],
    }  # fmt: skip
    bad = post.post("/v1/chat/completions/input_tokens", json={**body, "model": "infill-10m"})
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, "model")
