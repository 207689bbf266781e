"""Images are refused in the same words, whatever the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from halfbyte.errors import RequestError
from halfbyte.prompt.messages import NO_IMAGES, check_messages
from halfbyte.server.anthropic.anthropic_conversation import conversation
from halfbyte.server.anthropic.anthropic_fields import PromptFields
from halfbyte.server.fault import Fault
from halfbyte.server.llama_cpp.request_schema import LlamaCompletionFields
from halfbyte.server.ollama.generate import check_no_images
from halfbyte.server.openai.chat_messages import ChatMessage, library_messages
from halfbyte.server.openai.response_fields import InputItem
from halfbyte.server.openai.response_input import input_messages


def user(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}


def anthropic(message: dict[str, Any]) -> object:
    return conversation(PromptFields.model_validate({"messages": [message]}))


def llama_cpp(**body: Any) -> object:
    return LlamaCompletionFields.model_validate({"prompt": "a", **body}).prompts


URL = {"type": "image_url", "image_url": {"url": "data:"}}
ASKED: dict[str, Callable[[], object]] = {
    "library": lambda: check_messages([user(URL)]),
    "chat": lambda: library_messages([ChatMessage.model_validate(user(URL))]),
    "responses": lambda: input_messages(
        [InputItem.model_validate({"role": "user", "content": [{"type": "input_image"}]})], None
    ),
    "anthropic": lambda: anthropic(user({"type": "image", "source": {}})),
    "ollama": lambda: check_no_images(["aGk="], "messages.0.images"),
    "llama.cpp": lambda: llama_cpp(image_data=[{"data": "aGk=", "id": 1}]),
    "llama.cpp prompt": lambda: llama_cpp(prompt={"prompt_string": "a", "multimodal_data": ["x"]}),
}


@pytest.mark.parametrize("protocol", ASKED)
def test_images_are_refused_in_the_same_words(protocol: str) -> None:
    with pytest.raises((Fault, RequestError), match=NO_IMAGES) as caught:
        ASKED[protocol]()
    assert caught.value.param  # type: ignore[attr-defined]


def test_no_images_are_none() -> None:
    assert llama_cpp(image_data=[]) == ["a"]
    check_no_images([], "images")
