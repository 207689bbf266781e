"""Texts, tokens and templates, as llama.cpp's own tests ask for them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

import halfbyte
from halfbyte.server.llama_cpp.token_texts import prompt_text
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEXT = "What is the capital of France, 媽 and 🤗?"


def test_tokens_come_back_as_the_text(http: httpx.Client, shelf: Shelf) -> None:
    tokenizer = shelf.loaded()[0].model.tokenizer
    tokens = http.post("/tokenize", json={"content": TEXT}).json()["tokens"]
    assert tokens == tokenizer.encode(TEXT, add_bos=False)
    assert http.post("/detokenize", json={"tokens": tokens}).json() == {"content": f" {TEXT}"}
    begun = http.post("/tokenize", json={"content": TEXT, "add_special": True}).json()["tokens"]
    assert begun == [tokenizer.bos_id, *tokens]
    assert http.post("/detokenize", json={"tokens": begun}).json()["content"] == f"<s> {TEXT}"
    mixed = http.post("/tokenize", json={"content": [*tokens[:2], " is"]}).json()["tokens"]
    assert mixed == [*tokens[:2], *tokenizer.encode_fragment(" is")]
    assert http.post("/tokenize", json={}).json() == {"tokens": []}
    long = TEXT * 1000
    tokens = http.post("/tokenize", json={"content": long}).json()["tokens"]
    assert tokens == tokenizer.encode(long, add_bos=False) and len(tokens) > 20_000


def test_pieces_are_texts_or_bytes(http: httpx.Client) -> None:
    got = http.post("/tokenize", json={"content": "import é", "with_pieces": True}).json()
    pieces = [one["piece"] for one in got["tokens"]]
    assert pieces == [" import", " ", [0xC3], [0xA9]]
    assert all(one["id"] > 0 for one in got["tokens"])


def test_special_tokens_are_read_unless_told_otherwise(http: httpx.Client, shelf: Shelf) -> None:
    tokenizer = shelf.loaded()[0].model.tokenizer
    marked = "a</s>b"
    got = http.post("/tokenize", json={"content": marked}).json()["tokens"]
    assert [tokenizer.piece(one) for one in got] == ["▁a", "</s>", "▁b"]
    plain = http.post("/tokenize", json={"content": marked, "parse_special": False}).json()
    assert plain["tokens"] == tokenizer.encode(marked, add_bos=False)
    assert plain["tokens"] != got


@pytest.fixture(scope="module")
def tiny_chat() -> Iterator[Shelf]:
    with halfbyte.load("infill-10m", threads=1) as model:
        model.tokenizer.chat_template = TEMPLATE
        made = Shelf({"chat": "chat"}, halfbyte.load)
        made.put("chat", model)
        yield made


@pytest.mark.parametrize("bad", [[-1], [1 << 20], [True], ["a"], "a", [1.5]])
def test_bad_tokens_are_named(http: httpx.Client, bad: object) -> None:
    got = http.post("/detokenize", json={"tokens": bad})
    assert got.status_code == 400 and "tokens" in got.json()["error"]["message"]


def test_a_template_gives_the_prompt_of_a_chat(http: httpx.Client, tiny_chat: Shelf) -> None:
    messages = [{"role": "user", "content": "hi"}]
    refused = http.post("/apply-template", json={"messages": messages})
    assert refused.status_code == 400 and "template" in refused.json()["error"]["message"]
    model = tiny_chat.loaded()[0].model
    with serving(tiny_chat) as url, httpx.Client(base_url=url, trust_env=False) as client:
        prompt = client.post("/apply-template", json={"messages": messages}).json()["prompt"]
        assert prompt == "<s><user>hi\n<assistant>"
        assert prompt == prompt_text(model.tokenizer, model.chat_ids(messages))
        # What it gives can be asked for: the same tokens, and so the same answer.
        asked = {"prompt": prompt, "n_predict": 4, "temperature": 0}
        got = client.post("/completion", json=asked).json()
        expected = model.chat(messages, max_tokens=4, temperature=0)
        assert got["tokens_evaluated"] == expected.stats.n_prompt
        assert got["content"] == expected.text
