"""The fields of a response: none that OpenAI's client can send is unknown."""

from __future__ import annotations

from openai.types.responses.response_create_params import ResponseCreateParamsStreaming

from halfbyte.server.openai.response_fields import ResponseFields


def test_every_field_of_the_client_is_known() -> None:
    known = {*ResponseFields.model_fields, *ResponseFields.unused}
    params = ResponseCreateParamsStreaming
    names = {*params.__required_keys__, *params.__optional_keys__}
    assert len(names) > 25 and not names - known
    assert not ResponseFields.unused & set(ResponseFields.model_fields)


def test_what_is_told() -> None:
    body = {"input": "x", "include": ["message.output_text.logprobs"]}
    assert ResponseFields.model_validate(body).has_logprobs
    assert not ResponseFields.model_validate({"input": "x"}).has_logprobs
    summary = {"input": "x", "reasoning": {"summary": "auto"}}
    assert ResponseFields.model_validate(summary).has_summary
