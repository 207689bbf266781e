"""On a local cluster of several processes: `make test-ray`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import halfbyte

ray = pytest.importorskip("ray", reason="`make test-ray` installs it")
pytestmark = pytest.mark.filterwarnings("default")  # Ray's own
MODEL = "infill-10m"
PROMPTS = [f"def f{i}(a, b):\n    return" for i in range(24)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    ray.init(num_cpus=8, include_dashboard=False, logging_level="error")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def http(cluster: None) -> Iterator[httpx.Client]:
    from ray import serve

    from halfbyte.ray import deploy

    deploy({MODEL: MODEL}, n_replicas=(2, 2), cpus=1)
    with httpx.Client(base_url="http://127.0.0.1:8000", trust_env=False, timeout=120) as client:
        yield client
    serve.shutdown()


@pytest.fixture(scope="module")
def model() -> Iterator[halfbyte.Model]:
    with halfbyte.load(MODEL) as loaded:
        yield loaded


def ask(http: httpx.Client, prompt: str, **more: Any) -> dict[str, Any]:
    answer = http.post("/v1/completions", json={"prompt": prompt, "max_tokens": 8, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_answers_are_the_models(http: httpx.Client, model: halfbyte.Model) -> None:
    for prompt in PROMPTS[:6]:
        got = ask(http, prompt)["choices"][0]["text"]
        assert got == model.complete(prompt, max_tokens=8).text


def test_streams_come_in_pieces(http: httpx.Client, model: halfbyte.Model) -> None:
    body = {"prompt": PROMPTS[0], "max_tokens": 40, "stream": True}
    with http.stream("POST", "/v1/completions", json=body) as answer:
        lines = [line[6:] for line in answer.iter_lines() if line.startswith("data: {")]
    text = "".join(json.loads(line)["choices"][0]["text"] for line in lines)
    assert text == model.complete(PROMPTS[0], max_tokens=40).text


def test_errors_keep_their_shape(http: httpx.Client) -> None:
    answer = http.post("/v1/completions", json={"prompt": "a", "max_tokens": -1})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "max_tokens"


def test_a_body_that_is_too_large_is_told(http: httpx.Client) -> None:
    answer = http.post("/v1/messages", content=b"{" + b" " * (32 << 20) + b"}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "request_too_large")


def test_an_application_that_fails_ends_its_stream() -> None:
    from halfbyte.ray.deployment import Engine

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise OSError("gone")

    async def read() -> None:
        engine = Engine.__new__(Engine)
        engine._app = app
        async for batch in engine({}, b"", prefix=[]):
            assert [message["type"] for message in batch] == ["http.response.start"]

    with pytest.raises(OSError, match="gone"):
        asyncio.run(asyncio.wait_for(read(), 10))


def test_a_prompt_goes_to_where_its_beginning_is_remembered(http: httpx.Client) -> None:
    """Two long beginnings, asked in turn: each replica is asked about what it has seen."""
    long = ["".join(f"{name} = {i}\n" for i in range(60)) for name in ("x", "y")]
    for text in long:
        ask(http, text)
    cached = [
        ask(http, text + f"# {i}")["usage"]["prompt_tokens_details"]["cached_tokens"]
        for i in range(3)
        for text in long
    ]
    assert min(cached) > 100


def test_who_hangs_up_is_forgotten(http: httpx.Client) -> None:
    body = {"prompt": "def f(", "max_tokens": 450, "temperature": 1, "stream": True}
    with http.stream("POST", "/v1/completions", json=body) as answer:
        next(answer.iter_raw())
    end_s = time.monotonic() + 30
    while http.get("/status").json()["running"]:
        assert time.monotonic() < end_s
        time.sleep(0.05)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_data_set_goes_on_where_it_was_cut(
    cluster: None, model: halfbyte.Model, tmp_path: Path, kind: str
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from halfbyte.ray import complete_dataset

    rows = [{"id": i, "prompt": prompt} for i, prompt in enumerate(PROMPTS)]
    source, target = tmp_path / f"in.{kind}", tmp_path / "out"

    def write(some: list[dict[str, Any]]) -> None:
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(some), source)
        else:
            source.write_text("".join(json.dumps(row) + "\n" for row in some))

    def complete() -> None:
        complete_dataset(
            str(source), str(target), model=MODEL, id_column="id", n_actors=2, cpus=1,
            batch_size=5, max_tokens=6,
        )  # fmt: skip

    write(rows[:10])  # as if it had been cut short there
    complete()
    n_before = len(list(target.glob("*.parquet")))
    write(rows)
    complete()
    assert len(list(target.glob("*.parquet"))) > n_before
    got = {row["id"]: row for row in pq.read_table(target).to_pylist()}
    assert pq.read_table(target).num_rows == len(rows)
    expected = model.complete(PROMPTS, max_tokens=6)
    assert [got[i]["completion"] for i in range(len(rows))] == [one.text for one in expected]


def test_a_row_is_a_matter_of_its_own(model: halfbyte.Model) -> None:
    """No answer depends on what shares its batch, drawn ones either; nor does an error."""
    import numpy as np

    from halfbyte.ray.datasets import Columns, Completer

    drawing = {"max_tokens": 6, "temperature": 1, "seed": 7}
    completer = Completer(MODEL, Columns("id", "prompt", "said"), {"threads": 1}, drawing)
    prompts = [None, "def f(", "x = 1 " * 2000, "def f(", "import os"]
    batch = {"id": np.arange(5), "prompt": np.array(prompts, object)}
    got = completer(batch)
    alone = [completer({name: one[i : i + 1] for name, one in batch.items()}) for i in range(5)]
    for name in ("said", "said_finish_reason", "said_error"):
        assert list(got[name]) == [one[name][0] for one in alone]
    assert [bool(error) for error in got["said_error"]] == [True, False, True, False, False]
    assert "expected a text, got None" in got["said_error"][0] and "512" in got["said_error"][2]
    assert list(got["said_finish_reason"])[::2] == ["error", "error", "length"]
    assert got["said"][1] != got["said"][3] and got["said"][0] == ""


def test_a_missing_column_is_named(cluster: None, tmp_path: Path) -> None:
    from halfbyte.ray import complete_dataset

    (tmp_path / "in.jsonl").write_text('{"id": 1, "text": "a"}\n')
    with pytest.raises(halfbyte.RequestError) as caught:
        complete_dataset(
            str(tmp_path / "in.jsonl"), str(tmp_path / "out"), model=MODEL, id_column="id"
        )
    assert caught.value.param == "column"
