"""Of conversations that do not fit, the newest turns are answered, where a client asks for that."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import halfbyte
from halfbyte.server.newest_turns import newest_turns
from halfbyte.server.prompts import chat_prompt_of

SYSTEM = {"role": "system", "content": "Be short."}
FEW: dict[str, Any] = {"max_tokens": 4, "temperature": 0}


def turns(n: int, size: int = 12) -> list[dict[str, Any]]:
    """So many, each a question and its answer, and one more question."""
    made: list[dict[str, Any]] = []
    for i in range(n):
        made.append({"role": "user", "content": f"question {i} " + "x = 1\n" * size})
        made.append({"role": "assistant", "content": f"answer {i}"})
    return [*made, {"role": "user", "content": "def f("}]


def n_tokens(model: halfbyte.Model, messages: Any) -> int:
    return len(chat_prompt_of(model, messages, {}).tokens)


@pytest.fixture
def model(models: dict[str, halfbyte.Model]) -> halfbyte.Model:
    return models["calls"]


@pytest.mark.parametrize("max_tokens", [4, 100_000])
def test_the_oldest_turns_are_left_out(model: halfbyte.Model, max_tokens: int) -> None:
    long = turns(40)
    asked = [SYSTEM, *long]
    left = list(newest_turns(model, asked, {"max_tokens": max_tokens}))
    assert left[0] == SYSTEM and left[1]["role"] == "user"
    assert left[1:] == long[-len(left) + 1 :] and 2 < len(left) < len(asked)
    n_most = model.n_ctx - min(max_tokens, model.n_ctx // 2)
    one_more = [SYSTEM, *long[-len(left) - 1 :]]
    assert n_tokens(model, left) <= n_most < n_tokens(model, one_more)


def test_what_fits_stays_whole(model: halfbyte.Model) -> None:
    asked = [SYSTEM, *turns(4)]
    assert model.n_ctx // 2 < n_tokens(model, asked) < model.n_ctx - FEW["max_tokens"]
    assert newest_turns(model, asked, FEW) is asked
    assert newest_turns(model, asked, {"max_tokens": model.n_ctx}) is asked
    assert len(newest_turns(model, asked, {"max_tokens": model.n_ctx // 2})) < len(asked)


def test_the_last_turn_stays_though_it_is_too_long(model: halfbyte.Model) -> None:
    long = [SYSTEM, *turns(2), {"role": "user", "content": "x = 1\n" * 100_000}]
    assert newest_turns(model, long, FEW) == [SYSTEM, long[-1]]
    without_user = [{"role": "assistant", "content": "x = 1\n" * 100_000}]
    assert newest_turns(model, without_user, FEW) is without_user


def test_clients_ask_for_it_in_their_words(chat_url: str, model: halfbyte.Model) -> None:
    long = turns(40)
    expected = model.chat(list(newest_turns(model, long, FEW)), **FEW).text
    few = {"temperature": 0, "max_output_tokens": 4}
    ollama = {"messages": long, "stream": False, "options": {"num_predict": 4, "temperature": 0}}
    with httpx.Client(base_url=chat_url, trust_env=False, timeout=60) as http:
        for path, body, asks in (
            ("/v1/responses", {"input": long, **few}, {"truncation": "auto"}),
            ("/api/chat", ollama, {"truncate": True}),
        ):
            body = {"model": "calls", **body}
            assert http.post(path, json=body).status_code == 400
            got = http.post(path, json={**body, **asks}).json()
            said = got["message"]["content"] if path == "/api/chat" else _text(got)
            assert said == expected, path


def _text(response: Any) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


def test_prompts_are_cut_at_their_beginning(chat_url: str, model: halfbyte.Model) -> None:
    prompt = "x = 1\n" * 2000 + "def f("
    cut = model.complete(prompt, truncate="left", **FEW)
    options = {"num_predict": 4, "temperature": 0}
    with httpx.Client(base_url=chat_url, trust_env=False, timeout=60) as http:
        body: dict[str, Any] = {"model": "calls", "prompt": prompt}
        raw = {**body, "raw": True, "stream": False, "options": options}
        assert http.post("/api/generate", json=raw).status_code == 400
        got = http.post("/api/generate", json={**raw, "truncate": True}).json()
        assert (got["response"], got["prompt_eval_count"]) == (cut.text, cut.stats.n_prompt)
        plain = {**body, **FEW}
        assert http.post("/v1/completions", json=plain).status_code == 400
        got = http.post("/v1/completions", json={**plain, "truncate": "left"}).json()
        assert got["choices"][0]["text"] == cut.text
