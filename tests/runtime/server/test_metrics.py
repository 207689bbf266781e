"""What is counted: of requests, of models, and under others' names."""

from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf

BODY = {"prompt": "import os\n" * 20, "max_tokens": 5}
# So long that its pieces do not come all at once.
STREAM = {"max_tokens": 60, "stream": True, "stream_options": {"include_usage": True}}


def counted(
    client: httpx.Client, url: str, last: tuple[str, ...] | None = None
) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels, once `last` is among them.

    A request is counted when its answer has been sent, so that who reads it may come too early.
    """
    end_s = time.monotonic() + 30
    while True:
        families = text_string_to_metric_families(client.get(f"{url}/metrics").text)
        found = {
            (sample.name, *(v for _, v in sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }
        if last is None or last in found:
            return found
        assert time.monotonic() < end_s, last
        time.sleep(0.01)


@pytest.fixture
def client() -> Any:
    with httpx.Client(trust_env=False, timeout=60) as made:
        yield made


def test_requests_are_counted(shelf: Shelf, serve: Any, client: httpx.Client) -> None:
    with serve(shelf) as url:
        first = client.post(f"{url}/v1/completions", json=BODY).json()["usage"]
        again = client.post(f"{url}/v1/completions", json={**BODY, **STREAM})
        *_, last, done = again.text.split("\n\n")[:-1]
        assert done == "data: [DONE]"
        n_streamed = json.loads(last.removeprefix("data: "))["usage"]["completion_tokens"]
        client.post(f"{url}/v1/completions", json={"prompt": 1})
        client.get(f"{url}/nothing")
        got = counted(client, url, ("halfbyte:requests_total", "none", "404"))
    name, n_prompt = "infill-10m", first["prompt_tokens"]
    assert got["halfbyte:prompt_tokens_total", name] == 2 * n_prompt
    assert got["halfbyte:generation_tokens_total", name] == 5 + n_streamed
    assert got["llamacpp:tokens_predicted_total",] == 5 + n_streamed
    hits = got["halfbyte:prefix_cache_hits_total", name]
    assert n_prompt - 1 <= hits <= 2 * n_prompt
    assert got["llamacpp:prompt_tokens_total",] == 2 * n_prompt - hits
    for times in ("time_to_first_token", "e2e_request_latency", "request_queue_time"):
        assert got[f"halfbyte:{times}_seconds_count", name] == 2
    assert got["halfbyte:inter_token_latency_seconds_count", name] >= 1
    assert got["halfbyte:request_success_total", "length", name] == 2
    assert got["halfbyte:requests_total", "/v1/completions", "200"] == 2
    assert got["halfbyte:requests_total", "/v1/completions", "400"] == 1
    assert got["halfbyte:requests_total", "none", "404"] == 1
    assert got["halfbyte:num_requests_running",] == got["llamacpp:requests_deferred",] == 0
    assert got["halfbyte:model_loaded", name] == 1
    assert got["halfbyte:kv_cache_bytes", name] >= got["halfbyte:prefix_cache_bytes", name] > 0


def test_each_server_counts_for_itself(shelf: Shelf, serve: Any, client: httpx.Client) -> None:
    with serve(shelf) as url:
        client.post(f"{url}/v1/completions", json=BODY)
        with serve(shelf) as other:
            assert ("halfbyte:prompt_tokens_total", "infill-10m") not in counted(client, other)


def test_who_may_read_them(shelf: Shelf, serve: Any, client: httpx.Client) -> None:
    keys = {"secret": "me"}
    for access, without, with_key in (("key", 401, 200), ("open", 200, 200), ("off", 401, 404)):
        with serve(shelf, ServerSettings(keys=keys, metrics=access)) as url:
            assert client.get(f"{url}/metrics").status_code == without
            headers = {"x-api-key": "secret"}
            assert client.get(f"{url}/metrics", headers=headers).status_code == with_key


def test_who_is_refused_is_counted(shelf: Shelf, serve: Any, client: httpx.Client) -> None:
    with serve(shelf, ServerSettings(n_places=0, n_waiting=0)) as url:
        answer = client.post(f"{url}/v1/completions", json=BODY)
        assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1
        key = ("halfbyte:requests_rejected_total", "rate_limit")
        assert counted(client, url, key)[key] == 1
        unwell = client.get(f"{url}/health")
        assert (unwell.status_code, unwell.json()["status"]) == (503, "overloaded")
