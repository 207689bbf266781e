"""LangChain's own classes for OpenAI and Ollama."""

from __future__ import annotations

import json
from typing import Any

import pytest

import halfbyte
from tests.clients.recipes import recipe

langchain_openai = pytest.importorskip("langchain_openai", reason="`make test-clients`")
langchain_ollama = pytest.importorskip("langchain_ollama", reason="`make test-clients`")
pytestmark = pytest.mark.filterwarnings("ignore")  # LangChain's own
PROMPT = "def mean(values):\n"
USER: Any = [{"role": "user", "content": PROMPT}]
SCHEMA = {
    "title": "count", "description": "Counts.", "type": "object",
    "properties": {"n": {"type": "integer"}, "of": {"type": "string"}}, "required": ["n", "of"],
}  # fmt: skip
COUNT = {"type": "function", "function": {"name": "count", "parameters": SCHEMA}}
CHATS = ("chats", "responses", "ollama")


def chat_of(kind: str, url: str, model: str, most: int) -> Any:
    """A chat model of LangChain's."""
    if kind == "ollama":
        return langchain_ollama.ChatOllama(
            model=model, base_url=url, temperature=0, num_predict=most
        )
    return langchain_openai.ChatOpenAI(
        model=model, base_url=f"{url}/v1", api_key="none", temperature=0, max_tokens=most,
        use_responses_api=kind == "responses", max_retries=0,
    )  # fmt: skip


def test_texts_are_the_models(url: str, infills: halfbyte.Model) -> None:
    expected = infills.complete(PROMPT, max_tokens=12).text
    how = {"model": "infill-10m", "temperature": 0}
    for made in (
        langchain_openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_tokens=12, **how),
        langchain_ollama.OllamaLLM(base_url=url, num_predict=12, **how),
    ):
        assert made.invoke(PROMPT) == expected
        assert "".join(made.stream(PROMPT)) == expected


@pytest.mark.parametrize("kind", CHATS)
def test_chats_are_the_models(kind: str, url: str, calls: halfbyte.Model) -> None:
    chat = chat_of(kind, url, "calls", 12)
    expected = calls.chat(USER, max_tokens=12, temperature=0)
    got = chat.invoke(PROMPT)
    assert got.text == expected.text
    assert got.usage_metadata["input_tokens"] == expected.stats.n_prompt
    assert "".join(part.text for part in chat.stream(PROMPT)) == expected.text


@pytest.mark.parametrize("kind", CHATS)
def test_tools_are_called_and_their_answers_read(kind: str, url: str) -> None:
    chat = chat_of(kind, url, "counts", 200).bind_tools([COUNT])
    first = chat.invoke(PROMPT)
    streamed: Any = None
    for part in chat.stream(PROMPT):
        streamed = part if streamed is None else streamed + part
    for said in (first, streamed):
        assert [(call["name"], call["args"]) for call in said.tool_calls] == [
            ("count", {"n": 3, "of": "stars"})
        ]
    result = {"role": "tool", "content": "7", "tool_call_id": first.tool_calls[0]["id"]}
    assert chat.invoke([*USER, first, result]).text == "The tool has answered."


@pytest.mark.parametrize("kind", CHATS)
def test_a_schema_is_kept(kind: str, url: str, calls: halfbyte.Model) -> None:
    schema = {**SCHEMA, "properties": {"n": {"enum": [1, 2]}, "of": {"enum": ["x", "y"]}}}
    schema["additionalProperties"] = False
    chat = chat_of(kind, url, "calls", 100)
    got = chat.with_structured_output(schema, method="json_schema").invoke(PROMPT)
    done = calls.chat(USER, max_tokens=100, temperature=0, json_schema=schema)
    assert got == json.loads(done.text)


def test_vectors_are_the_models(url: str, infills: halfbyte.Model) -> None:
    expected = [pytest.approx(row.tolist(), abs=1e-6) for row in infills.embed(["a b", "c"])]
    for made in (
        # Without this LangChain cuts texts into tokens of OpenAI's.
        langchain_openai.OpenAIEmbeddings(
            model="infill-10m", base_url=f"{url}/v1", api_key="none",
            check_embedding_ctx_length=False,
        ),
        langchain_ollama.OllamaEmbeddings(model="infill-10m", base_url=url),
    ):  # fmt: skip
        assert made.embed_documents(["a b", "c"]) == expected


def test_the_recipe_runs(url: str) -> None:
    made: dict[str, Any] = {}
    exec(recipe("LangChain", url, "counts"), made)
    assert made["chat"].invoke("hi").text == made["same"].invoke("hi").text
    assert made["text"].invoke("hi", max_tokens=2)
    assert len(made["vectors"].embed_query("hi")) == 64
