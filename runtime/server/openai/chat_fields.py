"""The body of `POST /v1/chat/completions`.

Source: https://platform.openai.com/docs/api-reference/chat/create, and what llama.cpp's clients
send there besides.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from halfbyte.server.fields import (
    Count,
    Fields,
    Penalty,
    Positive,
)
from halfbyte.server.openai.answer_fields import AnswerFields, Prediction, StreamOptions
from halfbyte.server.openai.chat_messages import ChatMessage
from halfbyte.server.sampling_fields import Biases, Stops

FormatKind = Literal["text", "json_object", "json_schema"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class NamedSchema(Fields):
    """A schema with a name; `strict` or not, it is kept to."""

    name: str = ""
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Fields):
    """What the answer has to be; llama.cpp's clients put `schema` here."""

    type: FormatKind
    json_schema: NamedSchema | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")


class TemplateArguments(Fields):
    """What a chat template is told, of which that about thoughts is known."""

    enable_thinking: bool | None = None
    thinking: bool | None = None
    reasoning_effort: str | None = None


class ChatFields(AnswerFields):
    """The body."""

    unused: ClassVar[frozenset[str]] = frozenset({
        "user", "metadata", "store", "service_tier", "prompt_cache_options",
        "safety_identifier", "prompt_cache_key",
        "prompt_cache_retention", "verbosity", "web_search_options", "audio", "moderation",
        "id_slot", "cache_prompt", "response_fields", "timings_per_token", "return_progress",
        "n_keep", "n_discard", "min_keep", "t_max_predict_ms", "reasoning_format", "lora",
        "parse_tool_calls", "n_probs", "post_sampling_probs", "return_tokens",
    })  # fmt: skip
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    n_predict: Annotated[int, Field(ge=-2, le=1 << 20)] | None = None
    n: Positive | None = None
    stop: Stops | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Biases | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream_options: StreamOptions | None = None
    response_format: ResponseFormat | None = None
    ignore_eos: bool | None = None
    json_schema: dict[str, Any] | None = None
    grammar: str | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    reasoning_budget: Count | None = None
    chat_template_kwargs: TemplateArguments | None = None
    prediction: Prediction | None = None
    modalities: list[Literal["text"]] | None = None
    functions: list[Any] | None = None
    function_call: str | dict[str, Any] | None = None
