"""The body of `/v1/messages`, as Anthropic's clients write it."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from halfbyte.server.fields import Count, Fields, Probability, Temperature

# Of everything that a conversation has; cache_control says what to remember, and all is.
_NOTES = frozenset({"cache_control", "citations", "caller", "toolset_name"})


class Block(Fields):
    """A part of a message; its kind says which fields it has."""

    unused: ClassVar[frozenset[str]] = _NOTES
    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None
    source: Any = None
    title: str | None = None
    context: str | None = None


Blocks = Annotated[list[Block], Field(max_length=100_000)]


class Turn(Fields):
    """A message."""

    role: Literal["user", "assistant", "system"]
    content: str | Blocks


class OfferedTool(Fields):
    """A function that the answer may call."""

    unused: ClassVar[frozenset[str]] = _NOTES | {
        "strict", "defer_loading", "input_examples", "allowed_callers", "eager_input_streaming",
    }  # fmt: skip
    type: str | None = None
    name: str
    description: str | None = None
    input_schema: dict[str, Any] | None = None


class ToolChoice(Fields):
    """Whether, and what, to call."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class ThinkingConfig(Fields):
    """Whether, and how long, to think."""

    unused: ClassVar[frozenset[str]] = frozenset({"display"})
    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Count | None = None


class OutputFormat(Fields):
    """What an answer has to be."""

    type: Literal["json_schema"]
    schema_: dict[str, Any] = Field(alias="schema")


class OutputConfig(Fields):
    """How an answer is to be."""

    unused: ClassVar[frozenset[str]] = frozenset({"effort", "task_budget"})
    format: OutputFormat | None = None


class PromptFields(Fields):
    """What says how many tokens a prompt has: the body of `/v1/messages/count_tokens`."""

    unused: ClassVar[frozenset[str]] = frozenset(
        {
            "cache_control", "container", "context_management", "metadata", "service_tier",
            "speed", "inference_geo", "diagnostics", "user_profile_id", "workspace_id", "betas",
            "anthropic_beta", "max_tokens", "stream", "temperature",
        }
    )  # fmt: skip
    model: str | None = None
    messages: Annotated[list[Turn], Field(min_length=1, max_length=100_000)]
    system: str | Blocks | None = None
    tools: Annotated[list[OfferedTool], Field(max_length=1024)] | None = None
    tool_choice: ToolChoice | None = None
    thinking: ThinkingConfig | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    mcp_servers: list[Any] | None = None


class MessageFields(PromptFields):
    """The body."""

    max_tokens: Count
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: int | None = Field(default=None, ge=0, lt=1 << 31)
    stop_sequences: Annotated[list[str], Field(max_length=64)] | None = None
