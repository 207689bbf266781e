"""The fields of `/completion` and `/infill`, with llama.cpp's names."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AliasChoices, Field

from halfbyte.prompt.messages import NO_IMAGES
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault, refused
from halfbyte.server.fields import MAX_TOKENS, Fields, TokenId
from halfbyte.server.llama_cpp.sampling_schema import SamplingFields
from halfbyte.server.sampling_fields import Stops

Mixed = list[TokenId | str]
Slot = Annotated[int, Field(ge=-(1 << 31), lt=1 << 31)]
_MOST_PROMPTS = 64


class LoraScale(Fields):
    """An adapter by its number, and how much of it."""

    id: int = Field(ge=0, lt=1 << 16)
    scale: float = Field(ge=-1e3, le=1e3)


class GenerationFields(SamplingFields):
    """What both have in common."""

    unused: ClassVar[frozenset[str]] = frozenset({
        "n_keep", "n_discard", "n_cache_reuse", "min_keep", "t_max_prompt_ms", "cache_prompt",
        "return_progress", "sse_ping_interval", "backend_sampling", "verbose", "grammar_lazy",
        "grammar_triggers", "preserved_tokens", "chat_format", "reasoning_format",
        "reasoning_in_content", "generation_prompt", "parse_tool_calls", "chat_parser",
        "continue_final_message", "echo", "reasoning_control", "reasoning_budget_tokens",
        "reasoning_budget_start_tag", "reasoning_budget_end_tag", "reasoning_budget_end_tags",
        "reasoning_budget_message", "stream_options", "speculative.n_max", "speculative.n_min",
        "speculative.p_min", "speculative.type", "penalize_nl", "slot_id",
    })  # fmt: skip
    model: str | None = None
    id_slot: Slot | None = None
    n_predict: int | None = Field(
        None, ge=-1, le=MAX_TOKENS,
        validation_alias=AliasChoices("n_predict", "max_completion_tokens", "max_tokens"),
    )  # fmt: skip
    n_cmpl: int | None = Field(None, validation_alias=AliasChoices("n_cmpl", "n"))
    n_indent: int | None = Field(None, ge=0, le=10_000)
    t_max_predict_ms: int | None = Field(None, ge=-1, le=1 << 53)
    stop: Stops | None = None
    stream: bool | None = None
    n_probs: int | None = Field(
        None, ge=0, le=256, validation_alias=AliasChoices("n_probs", "logprobs")
    )
    post_sampling_probs: bool | None = None
    return_tokens: bool | None = None
    timings_per_token: bool | None = None
    response_fields: list[str] | None = Field(None, max_length=256)
    lora: list[LoraScale] | None = Field(None, max_length=64)

    def n_answers(self, exchange: Exchange) -> int:
        """How many to each prompt.

        Raises:
            Fault: too many or none, in the words by which llama.vscode knows it.
        """
        n, most = 1 if self.n_cmpl is None else self.n_cmpl, exchange.settings.max_n
        if 1 <= n <= most:
            return n
        message = f"Field 'n_cmpl': Value must be between 1 <= value <= {most}, but got {n}"
        raise Fault("invalid_request", message, param="n_cmpl")

    @property
    def stops(self) -> list[str]:
        """The texts at which to stop."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return [text for text in given if text]


class PromptObject(Fields):
    """A prompt as an object, which may have pictures elsewhere."""

    prompt_string: str
    multimodal_data: list[Any] | None = None


OnePrompt = str | Mixed | PromptObject


class LlamaCompletionFields(GenerationFields):
    """The body of `/completion`."""

    prompt: str | PromptObject | list[TokenId | str | Mixed | PromptObject]
    image_data: list[Any] | None = None

    @property
    def prompts(self) -> list[OnePrompt]:
        """The prompts: texts alone in a list are prompts each, with ids among them parts of one.

        Raises:
            Fault: none, or too many.
        """
        given = self.prompt
        for one in given if isinstance(given, list) else [given]:
            if isinstance(one, PromptObject) and one.multimodal_data:
                raise _with_images("prompt.multimodal_data", one.multimodal_data)
        if self.image_data:
            raise _with_images("image_data", self.image_data)
        if not isinstance(given, list):
            return [given]
        if any(isinstance(item, int) for item in given):
            if not all(isinstance(item, (int, str)) for item in given):
                raise Fault("invalid_request", "prompt: expected prompts or one prompt's parts, "
                            "got tokens beside prompts", param="prompt")  # fmt: skip
            return [given]  # type: ignore[list-item]  # it was checked
        if not 1 <= len(given) <= _MOST_PROMPTS:
            raise refused("prompt", f"from 1 to {_MOST_PROMPTS} prompts", len(given))
        return given  # type: ignore[return-value]  # as above


def _with_images(where: str, given: list[Any]) -> Fault:
    return refused(where, NO_IMAGES, f"{len(given)} of them")


class ExtraChunk(Fields):
    """A part of another file."""

    unused: ClassVar[frozenset[str]] = frozenset({"time"})
    text: str
    filename: str | None = None


class InfillFields(GenerationFields):
    """The body of `/infill`."""

    input_prefix: str
    input_suffix: str
    input_extra: list[ExtraChunk] | None = Field(None, max_length=1024)
    prompt: str | None = None
