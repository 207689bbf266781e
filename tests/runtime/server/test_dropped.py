"""What changes with every turn is taken out of instructions, and of nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from halfbyte.server.ask import Ask
from halfbyte.server.dropped import without
from halfbyte.server.server_settings import ServerSettings
from halfbyte.server.shelf import Shelf
from tests.runtime.server.conftest import serving

DATE = [re.compile(r"Today is .*\.\n")]
TEXT, PLAIN = "You code.\nToday is Friday.\nBe brief.", "You code.\nBe brief."


def test_instructions_lose_it() -> None:
    messages = [
        {"role": "system", "content": TEXT},
        {"role": "developer", "content": [{"type": "text", "text": TEXT}, {"type": "other"}]},
        {"role": "user", "content": TEXT},
    ]
    asked = without(Ask("chat", (messages,), {"seed": 1}), DATE)
    system, developer, user = asked.arguments[0]
    assert system["content"] == developer["content"][0]["text"] == PLAIN
    assert user["content"] == messages[0]["content"] == TEXT
    assert asked.options == {"seed": 1}


def test_prompts_lose_it_and_files_do_not() -> None:
    assert without(Ask("complete", (TEXT,)), DATE).arguments == (PLAIN,)
    assert without(Ask("complete", ([TEXT, "x"],)), DATE).arguments == ([PLAIN, "x"],)
    for asked in (Ask("complete", ([1, 2],)), Ask("infill", (TEXT, TEXT)), Ask("complete", ([],))):
        assert without(asked, DATE) == asked


def _begun_answer(post: Callable[..., Any], system: str) -> object:
    said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "def f("}]
    usage = post("/v1/messages", system=system, messages=said, max_tokens=1)["usage"]
    return usage["input_tokens"] + usage["cache_read_input_tokens"]


def _counted(post: Callable[..., Any], system: str) -> object:
    said = [{"role": "user", "content": "x"}]
    return post("/v1/messages/count_tokens", system=system, messages=said)


def _counted_by_openai(post: Callable[..., Any], system: str) -> object:
    said = [{"role": "system", "content": system}, {"role": "user", "content": "x"}]
    return post("/v1/chat/completions/input_tokens", messages=said)


def _context(post: Callable[..., Any], system: str) -> object:
    how = {"stream": False, "options": {"num_predict": 1, "temperature": 0}}
    first = post("/api/generate", prompt="x", system=system, **how)["context"]
    return post("/api/generate", prompt="y", system=system, context=first, **how)["context"]


def _context_of_a_text(post: Callable[..., Any], text: str) -> object:
    how = {"model": "infill-10m", "stream": False, "options": {"num_predict": 1, "temperature": 0}}
    first = post("/api/generate", prompt=text, **how)["context"]
    return post("/api/generate", prompt=text, context=first, **how)["context"]


@pytest.mark.parametrize(
    "told", [_begun_answer, _counted, _counted_by_openai, _context, _context_of_a_text]
)
def test_it_is_gone_where_a_prompt_is_encoded_before_it_is_asked(
    chatting: Shelf, told: Callable[[Callable[..., Any], str], object]
) -> None:
    settings = ServerSettings(dropped=tuple(DATE))
    with serving(chatting, settings) as url, httpx.Client(base_url=url, trust_env=False) as client:

        def post(path: str, **body: Any) -> Any:
            answer = client.post(path, json={"model": "calls", **body})
            assert answer.status_code == 200, answer.text
            return answer.json()

        assert told(post, TEXT) == told(post, PLAIN)
