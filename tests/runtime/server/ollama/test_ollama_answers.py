"""Lines as Ollama has them, and errors."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import httpx
import pytest

from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.server.fault import Fault
from halfbyte.server.ollama.ollama_answers import _logprob, error, now

KEYS = {
    "model", "created_at", "done", "done_reason", "total_duration", "load_duration",
    "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration",
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "asked", "own"),
    [
        ("generate", {"prompt": "def f("}, {"response"}),
        ("chat", {"messages": [{"role": "user", "content": "def f("}]}, {"message"}),
    ],
)
def test_each_line_is_a_json_object(
    http_ollama: httpx.Client, path: str, asked: dict[str, Any], own: set[str]
) -> None:
    body = {"model": "thinks:latest", "options": {"num_predict": 5}, **asked}
    reply = http_ollama.post(f"/api/{path}", json=body)
    assert reply.headers["content-type"] == "application/x-ndjson"
    *lines, last = map(json.loads, reply.text.splitlines())
    for line in lines:
        assert line["model"] == "thinks:latest" and line["done"] is False
        assert datetime.fromisoformat(line["created_at"].replace("Z", "+00:00")).tzinfo
        held = line.get("message") or line
        assert held["thinking"] and not held.get("content") and not held.get("response")
    more = {"context"} if path == "generate" else set()
    assert last.keys() == KEYS | own | more
    whole = http_ollama.post(f"/api/{path}", json={**body, "stream": False})
    assert whole.headers["content-type"] == "application/json"
    assert whole.json().keys() == KEYS | own | more | (
        {"thinking"} if path == "generate" else set()
    )


def test_errors_are_texts() -> None:
    assert error(Fault("overloaded", "busy")) == {"error": "busy"}
    missing = Fault("not_found", "model: expected a", param="model")
    assert error(missing) == {"error": "model not found: model: expected a"}


def test_times_are_rfc_3339() -> None:
    assert now().endswith("Z") and now() >= datetime.now().strftime("%Y-")


def test_impossible_tokens_have_a_finite_logarithm() -> None:
    told = _logprob(TokenLogprob(1, b"\xff", 0, float("-inf")))
    assert told == {"token": "\N{REPLACEMENT CHARACTER}", "logprob": -9999.0, "bytes": [255]}
