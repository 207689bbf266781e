"""What the bodies of OpenAI's resources have in common where a model answers.

`repetition_penalty` and `min_tokens` are vLLM's names.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from halfbyte.server.fields import Count, Fields, Probability, Seed, Temperature
from halfbyte.server.sampling_fields import (
    RepetitionPenalty,
    SamplerFields,
    sampler_options,
    seed_options,
)


class StreamOptions(Fields):
    """What a stream tells besides."""

    unused: ClassVar[frozenset[str]] = frozenset({"include_obfuscation"})
    include_usage: bool = False


class TextPart(Fields):
    """A part of a content."""

    type: Literal["text"]
    text: str


class Prediction(Fields):
    """What most of the answer is expected to be."""

    type: Literal["content"] = "content"
    content: str | Annotated[list[TextPart], Field(max_length=1024)]

    @property
    def text(self) -> str:
        """All of it."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class AnswerFields(SamplerFields):
    """Who answers, how tokens are chosen, and whether they come one by one."""

    model: str | None = None
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    seed: Seed | None = None
    repetition_penalty: RepetitionPenalty | None = None
    min_tokens: Count | None = None

    def sampling(self) -> dict[str, Any]:
        """How tokens are chosen, as the library's keywords; what is not given is not among them."""
        given = self.given("temperature", "top_p", "repetition_penalty", "min_tokens")
        return {**sampler_options(self), **given, **seed_options(self.seed)}
