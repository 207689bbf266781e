"""The log's line of a request, and its name."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest

from halfbyte.server.record import Record
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from halfbyte.server.watch import line

BODY = {"prompt": "a secret ", "max_tokens": 2}


def said(caplog: pytest.LogCaptureFixture) -> str:
    return [r.getMessage() for r in caplog.records if r.name == "halfbyte.server.requests"][-1]


def test_a_line_says_what_it_cost_and_not_what_it_was(
    http: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "halfbyte.server.requests"):
        http.post("/v1/completions", json=BODY, headers={"x-request-id": "my-own.1"})
        http.get("/health")  # on the same connection: the first one's line is written
    mine = next(r.getMessage() for r in caplog.records if "my-own.1" in r.getMessage())
    for part in ("id=my-own.1", "client=127.0.0.1", "path=/v1/completions", "status=200",
                 "model=infill-10m", "tokens=2", "finish=length"):  # fmt: skip
        assert part in mine.split()
    assert "secret" not in mine


def test_it_is_json_with_the_prompt_where_that_is_asked_for(
    shelf: Shelf, serve: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings = ServerSettings(log_format="json", logs_prompts=True)
    with caplog.at_level(logging.INFO, "halfbyte.server.requests"), serve(shelf, settings) as url:
        with httpx.Client(trust_env=False) as client:
            client.post(f"{url}/v1/completions", json=BODY)
    told = json.loads(said(caplog))
    assert (told["status"], told["tokens"]) == (200, 2) and "a secret" in told["text"]


@pytest.mark.parametrize("given", ["a b", "x" * 65, "é", ""])
def test_names_that_could_be_something_else_are_replaced(http: httpx.Client, given: str) -> None:
    headers = {b"x-request-id": given.encode("latin-1")}
    named = http.get("/health", headers=headers).headers["x-request-id"]
    assert named != given and len(named) == 32


def test_the_name_comes_back(http: httpx.Client) -> None:
    assert (
        http.get("/health", headers={"x-request-id": "A-1_b.c"}).headers["x-request-id"]
        == "A-1_b.c"
    )


def test_a_line_is_one_line() -> None:
    record = Record("id", "me", "GET", "/a\nstatus=200 \x1b[2J", status=404, error="not_found")
    text = line(record, as_json=False)
    assert text.isprintable() and "\\nstatus=200" in text
    assert 'path="/a\\n' in text and json.loads(line(record, as_json=True))["error"] == "not_found"
