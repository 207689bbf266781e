"""`/api/generate` gives what the library gives, through Ollama's own client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import ollama
import pytest

import halfbyte
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

PROMPT = "import numpy as np\n\n\ndef mean("
USER = [{"role": "user", "content": "def f("}]
FEW: dict[str, Any] = {"num_predict": 12, "temperature": 0}


def test_a_prompt_is_a_users_message(
    client: ollama.Client, models: dict[str, halfbyte.Model]
) -> None:
    got = client.generate("calls", "def f(", system="You are brief.", options=FEW)
    system = {"role": "system", "content": "You are brief."}
    done = models["calls"].chat([system, *USER], max_tokens=12, temperature=0)
    assert (got.response, got.done, got.done_reason) == (done.text, True, "length")
    assert (got.prompt_eval_count, got.eval_count) == (done.stats.n_prompt, 12)
    assert got.total_duration >= got.prompt_eval_duration > 0 and got.eval_duration > 0
    assert got.load_duration is not None and got.context[-12:] == done.tokens


def test_a_context_goes_on_where_it_was(
    client: ollama.Client, models: dict[str, halfbyte.Model]
) -> None:
    first = client.generate("calls", "def f(", options=FEW)
    second = client.generate("calls", "x", context=first.context, options=FEW)
    model = models["calls"]
    rendered = model.tokenizer.encode_rendered("|user|x|assistant|")
    own = rendered[1:] if rendered[0] == model.tokenizer.bos_id else rendered
    done = model.complete([*first.context, *own], max_tokens=12)
    assert second.response == done.text
    assert second.context == [*first.context, *own, *done.tokens]


def test_drawing_is_as_it_is_asked_for(
    client: ollama.Client, models: dict[str, halfbyte.Model]
) -> None:
    options = {
        "num_predict": 16, "temperature": 1.1, "top_k": 20, "top_p": 0.9, "min_p": 0.01,
        "typical_p": 0.9, "repeat_penalty": 1.2, "repeat_last_n": 32, "presence_penalty": 0.2,
        "frequency_penalty": 0.1, "seed": 7, "stop": ["\n\n"], "num_ctx": 99999, "num_thread": 1,
    }  # fmt: skip
    got = client.generate("calls", "def f(", options=options)
    done = models["calls"].chat(
        USER, max_tokens=16, temperature=1.1, top_k=20, top_p=0.9, min_p=0.01, typical_p=0.9,
        repetition_penalty=1.2, penalty_window=32, presence_penalty=0.2, frequency_penalty=0.1,
        seed=7, stop=["\n\n"],
    )  # fmt: skip
    assert got.response == done.text


def test_a_gap_is_filled_piece_by_piece(
    client: ollama.Client, models: dict[str, halfbyte.Model]
) -> None:
    *pieces, last = client.generate(
        "infill-10m", "import nu", suffix=" as np\n", options={"num_predict": 12}, stream=True
    )
    done = models["infill-10m"].infill("import nu", " as np\n", max_tokens=12)
    assert "".join(one.response for one in pieces) == done.text
    assert not any(one.done for one in pieces)
    assert (last.response, last.done, last.done_reason) == ("", True, "length")
    assert last.eval_count == len(done.tokens) and last.context is None


@pytest.mark.parametrize("how", [{"raw": True}, {"template": "{{ .Prompt }}"}, {}])
def test_a_raw_prompt_goes_on_with_its_markers(
    client: ollama.Client, models: dict[str, halfbyte.Model], how: dict[str, Any]
) -> None:
    raw = " <PRE> import nu <SUF> as np\n <MID>"
    got = client.generate("infill-10m", raw, options={"num_predict": 6}, **how)
    done = models["infill-10m"].complete(raw, max_tokens=6, parse_markers=True)
    assert got.response == done.text and got.prompt_eval_count == done.stats.n_prompt


def test_thoughts_are_told_apart(client: ollama.Client, models: dict[str, halfbyte.Model]) -> None:
    pieces = [*client.generate("thinks", "def f(", options=FEW, think=True, stream=True)]
    done = models["thinks"].chat(USER, max_tokens=12, temperature=0, thinking=True)
    assert done.reasoning and "".join(one.thinking or "" for one in pieces) == done.reasoning
    quiet = client.generate("thinks", "def f(", options=FEW, think=False)
    done = models["thinks"].chat(USER, max_tokens=12, temperature=0, thinking=False)
    assert (quiet.response, quiet.thinking) == (done.text, None) and done.text


def test_a_format_is_kept(client: ollama.Client, models: dict[str, halfbyte.Model]) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [7, 8]}}, "required": ["n"],
              "additionalProperties": False}  # fmt: skip
    for name in ("thinks", "infill-10m"):  # the first would think, if it might
        got = client.generate(name, "def f(", format=schema, options={**FEW, "num_predict": 30})
        assert json.loads(got.response)["n"] in (7, 8) and got.done_reason == "stop"
    got = client.generate("calls", "def f(", format="json", options={**FEW, "num_predict": 40})
    done = models["calls"].chat(USER, max_tokens=40, temperature=0, json_schema={"type": "object"})
    assert got.response == done.text and got.response.startswith("{")


def test_probabilities_are_those_of_the_tokens(
    client: ollama.Client, models: dict[str, halfbyte.Model]
) -> None:
    done = models["infill-10m"].complete(PROMPT, max_tokens=6, logprobs=2, parse_markers=True)
    assert done.logprobs is not None
    expected = [(one.bytes.decode(), one.logprob, len(one.top)) for one in done.logprobs]
    how: dict[str, Any] = {"options": {"num_predict": 6}, "logprobs": True, "top_logprobs": 2}
    for pieces in (
        [client.generate("infill-10m", PROMPT, **how)],
        [*client.generate("infill-10m", PROMPT, stream=True, **how)],
    ):
        told = [one for piece in pieces for one in piece.logprobs or ()]
        assert [(one.token, one.logprob, len(one.top_logprobs)) for one in told] == expected


def test_no_limit_is_the_contexts_end(client: ollama.Client) -> None:
    for how in ({}, {"num_predict": -2}):
        got = client.generate("infill-10m", PROMPT, options={"temperature": 0, "seed": 1, **how})
        assert got.done_reason in ("stop", "length")
        assert got.done_reason == "stop" or got.prompt_eval_count + got.eval_count == 512
    assert client.generate("infill-10m", PROMPT, options={"num_predict": 0}).eval_count == 0


def test_an_empty_prompt_loads_and_unloads(client: ollama.Client, chatting: Shelf) -> None:
    got = client.generate("calls", keep_alive="1h")
    assert (got.response, got.done, got.done_reason) == ("", True, "load")
    served = {one.name: one for one in chatting.loaded()}
    assert 3500 < chatting.idle_left_s(served["calls"]) <= 3600
    kept: list[tuple[str, float | None]] = []
    chatting.keep = lambda one, idle_s: kept.append((one.name, idle_s))  # type: ignore[method-assign]
    try:
        assert client.generate("calls:latest", "", keep_alive=0).done_reason == "unload"
        client.generate("calls", "a", keep_alive=-1, options=FEW)
        client.generate("calls", "a", options=FEW)
    finally:
        del chatting.keep  # type: ignore[method-assign]
    assert kept == [("calls", 0), ("calls", None)]
    chatting.keep(served["calls"], None)


def test_templates_run_only_where_they_may(
    client: ollama.Client, chatting: Shelf, models: dict[str, halfbyte.Model]
) -> None:
    template = "{% for m in messages %}# {{ m.content }}\n{% endfor %}def "
    with pytest.raises(ollama.ResponseError, match="--allow-templates") as caught:
        client.generate("calls", "sums", template=template)
    assert caught.value.status_code == 403
    with (
        serving(chatting, ServerSettings(allows_templates=True)) as url,
        ollama.Client(url, trust_env=False) as other,
    ):
        got = other.generate("calls", "sums", template=template, options=FEW)
        with pytest.raises(ollama.ResponseError) as caught:
            other.generate("calls", "sums", template="{{ if .System }}{{ .System }}{{ end }}")
    done = models["calls"].complete("# sums\ndef ", max_tokens=12, temperature=0)
    assert got.response == done.text and caught.value.status_code == 400


def test_the_asynchronous_client_too(chat_url: str, models: dict[str, halfbyte.Model]) -> None:
    async def ask() -> tuple[str, str]:
        async with ollama.AsyncClient(chat_url, trust_env=False) as client:
            whole = await client.generate("calls:latest", "def f(", options=FEW)
            parts = await client.generate("calls", "def f(", options=FEW, stream=True)
            return whole.response, "".join([one.response async for one in parts])

    done = models["calls"].chat(USER, max_tokens=12, temperature=0)
    assert asyncio.run(ask()) == (done.text, done.text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("options", {"temperature": -1}), ("options", {"num_predict": -3}),
        ("options", {"num_predict": True}), ("options", {"top_p": 1.5}),
        ("options", {"seed": 1.5}), ("options", {"stop": ["x"] * 65}), ("options", {"stop": [1]}),
        ("options", {"stop": [""]}), ("options", {"repeat_penalty": 0}), ("options", []),
        ("options", {"mirostat": 3}), ("options", {"top_k": 1e99}), ("format", "xml"),
        ("format", {"type": "nonsense"}), ("think", "very"), ("think", True),
        ("keep_alive", "soon"), ("keep_alive", "9" * 99), ("keep_alive", True),
        ("context", [-1]), ("context", [8016]), ("context", ["a"]), ("images", ["aGk="]),
        ("prompt", 1), ("suffix", []), ("system", {}), ("raw", "yes"), ("stream", 1),
        ("top_logprobs", 21), ("top_logprobs", -1), ("model", 1), ("template", 3),
    ],
)  # fmt: skip
def test_bad_values_are_named(http_ollama: httpx.Client, name: str, value: object) -> None:
    body = {"model": "calls", "prompt": "a", name: value}
    reply = http_ollama.post("/api/generate", json=body)
    wrong = next(iter(value)) if isinstance(value, dict) and name == "options" else name
    wrong = {"repeat_penalty": "repeat_penalty", "format": "format|json_schema"}.get(wrong, wrong)
    assert reply.status_code == 400
    assert any(one in reply.json()["error"] for one in wrong.split("|")), reply.text


def test_what_means_nothing_is_taken(http_ollama: httpx.Client) -> None:
    body = {"model": "calls", "prompt": "a", "stream": False, "truncate": True, "mine": {"x": 1},
            "options": {"num_predict": 1, "num_gpu": 3, "low_vram": True, "mine": 2},
            "system": None, "suffix": "", "images": [], "format": ""}  # fmt: skip
    reply = http_ollama.post("/api/generate", json=body)
    assert reply.status_code == 200 and reply.json()["done"]


def test_a_prompt_that_is_too_long_is_an_error(client: ollama.Client) -> None:
    for stream in (False, True):
        with pytest.raises(ollama.ResponseError, match="tokens of context") as caught:
            [*client.generate("infill-10m", "a b " * 600, stream=stream)]  # type: ignore[call-overload]
        assert caught.value.status_code == 400
