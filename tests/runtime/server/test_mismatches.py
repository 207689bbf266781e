"""Prompts that change near their beginning are told of once, and counted."""

from __future__ import annotations

import logging

import httpx
import pytest

from halfbyte.server.shelf import Shelf

LONG = "".join(f"value_{i} = {i}\n" for i in range(30))


def test_a_date_that_changes_is_told_once(
    http: httpx.Client, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "halfbyte.server.mismatches"):
        for day in ("Monday", "Tuesday", "Friday"):
            body = {"prompt": f"# The rules of this project\n# {day}\n{LONG}", "max_tokens": 1}
            http.post("/v1/completions", json=body)
    told = [r.getMessage() for r in caplog.records if r.name == "halfbyte.server.mismatches"]
    assert len(told) == 1
    assert told[0].startswith("127.0.0.1 at /v1/completions: the prompt differs from a remembered")
    name = 'halfbyte:prefix_cache_mismatches_total{model_name="infill-10m"'
    assert name in http.get("/metrics").text
