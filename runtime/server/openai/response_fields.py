"""The body of `POST /v1/responses`.

Source: https://platform.openai.com/docs/api-reference/responses/create.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from halfbyte.server.fields import Count, Fields
from halfbyte.server.openai.answer_fields import AnswerFields
from halfbyte.server.openai.chat_fields import Effort, FormatKind
from halfbyte.server.openai.chat_messages import ContentPart


class InputItem(Fields):
    """A message, a call of a function, its result, or thoughts: `type` says which."""

    type: str = "message"
    role: str | None = None
    content: str | list[ContentPart] | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | None = None
    output: str | list[ContentPart] | None = None
    summary: list[ContentPart] | None = None


class TextFormat(Fields):
    """What the answer has to be."""

    type: FormatKind = "text"
    name: str | None = None
    schema_: dict[str, Any] | None = Field(None, alias="schema")
    strict: bool | None = None
    description: str | None = None


class TextSettings(Fields):
    """Settings of the answer's text."""

    format: TextFormat | None = None


class Reasoning(Fields):
    """Whether and how long the model thinks, and whether it tells so as a summary."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class ResponseTool(Fields):
    """A function, or a namespace with several; OpenAI's own tools are none."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    tools: list[ResponseTool] | None = None


class ResponseFields(AnswerFields):
    """The body."""

    unused: ClassVar[frozenset[str]] = frozenset({
        "user", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
        "prompt_cache_options", "max_tool_calls", "context_management", "stream_options",
        "moderation", "access_programs", "background_options", "image",
    })  # fmt: skip
    input: str | list[InputItem]
    instructions: str | None = None
    max_output_tokens: Count | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    include: list[str] | None = None
    text: TextSettings | None = None
    reasoning: Reasoning | None = None
    tools: list[ResponseTool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    prompt: dict[str, Any] | None = None

    @property
    def has_logprobs(self) -> bool:
        """Whether probabilities are told."""
        return "message.output_text.logprobs" in (self.include or ()) or bool(self.top_logprobs)

    @property
    def has_summary(self) -> bool:
        """Whether thoughts are told as a summary."""
        asked = self.reasoning
        return asked is not None and bool(asked.summary or asked.generate_summary)
