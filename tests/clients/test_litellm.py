"""LiteLLM, by each of the providers that the server can be."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

import halfbyte
from tests.clients.recipes import recipe

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network
litellm = pytest.importorskip("litellm", reason="`make test-clients` installs it")
pytestmark = pytest.mark.filterwarnings("ignore")  # LiteLLM's own
PROMPT = "def mean(values):\n"
USER: Any = [{"role": "user", "content": PROMPT}]
SCHEMA = {
    "type": "object", "properties": {"n": {"type": "integer"}, "of": {"type": "string"}},
    "required": ["n", "of"],
}  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "count", "parameters": SCHEMA}}]
CHATS = {"openai": "/v1", "hosted_vllm": "/v1", "ollama_chat": "", "anthropic": ""}


@pytest.mark.parametrize("provider", CHATS)
def test_chats_are_the_models(provider: str, url: str, calls: halfbyte.Model) -> None:
    expected = calls.chat(USER, max_tokens=12, temperature=0).text
    how = {"model": f"{provider}/calls", "messages": USER, "api_key": "none", "max_tokens": 12}
    how |= {"api_base": url + CHATS[provider], "temperature": 0}
    assert litellm.completion(**how).choices[0].message.content == expected
    parts = [part.choices[0].delta.content or "" for part in litellm.completion(**how, stream=True)]
    assert "".join(parts) == expected


@pytest.mark.parametrize("provider", CHATS)
def test_tools_are_called(provider: str, url: str) -> None:
    got = litellm.completion(
        model=f"{provider}/counts", messages=USER, tools=TOOLS, api_key="none", max_tokens=200,
        api_base=url + CHATS[provider],
    )  # fmt: skip
    [call] = got.choices[0].message.tool_calls
    assert call.function.name == "count"
    assert json.loads(call.function.arguments) == {"n": 3, "of": "stars"}
    assert got.choices[0].finish_reason == "tool_calls"


def test_texts_are_the_models(url: str, infills: halfbyte.Model) -> None:
    how = {"prompt": PROMPT, "api_key": "none", "max_tokens": 12, "temperature": 0}
    how |= {"model": "text-completion-openai/infill-10m", "api_base": f"{url}/v1"}
    expected = infills.complete(PROMPT, max_tokens=12).text
    assert litellm.text_completion(**how).choices[0].text == expected
    parts = litellm.text_completion(**how, stream=True)
    assert "".join(part.choices[0].text or "" for part in parts) == expected
    filled = litellm.text_completion(**how, suffix="\n    return total\n")
    done = infills.infill(PROMPT, "\n    return total\n", max_tokens=12)
    assert filled.choices[0].text == done.text


def test_vectors_are_the_models(url: str, infills: halfbyte.Model) -> None:
    got = litellm.embedding(
        model="openai/infill-10m", input=["a b"], api_base=f"{url}/v1", api_key="none"
    )
    assert got.data[0]["embedding"] == pytest.approx(infills.embed("a b").tolist(), abs=1e-6)


def test_the_recipe_runs(url: str) -> None:
    exec(recipe("LiteLLM", url, "calls"), {})
