"""The fields of a chat: none that OpenAI's client can send is unknown."""

from __future__ import annotations

from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming

from halfbyte.server.openai.chat_fields import ChatFields


def test_every_field_of_the_client_is_known() -> None:
    known = {*ChatFields.model_fields, *ChatFields.unused}
    params = CompletionCreateParamsStreaming
    names = {*params.__required_keys__, *params.__optional_keys__}
    assert len(names) > 30 and not names - known
    assert not ChatFields.unused & set(ChatFields.model_fields)
