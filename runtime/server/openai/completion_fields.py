"""The body of `POST /v1/completions`, and what it means to the library.

Source: https://platform.openai.com/docs/api-reference/completions; fields beyond it have the names
of llama.cpp's and vLLM's servers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from halfbyte.server.fault import Fault, refused
from halfbyte.server.fields import (
    Count,
    Fields,
    Penalty,
    Positive,
    TokenId,
)
from halfbyte.server.openai.answer_fields import AnswerFields, Prediction, StreamOptions
from halfbyte.server.sampling_fields import MAX_STOPS

MAX_PROMPTS, MAX_STOP_CHARS, MAX_BIASES = 256, 1024, 100_000
_Ids = list[TokenId]
_Several = Field(min_length=1, max_length=MAX_PROMPTS)
Texts = Annotated[list[str], _Several]
IdLists = Annotated[list[_Ids], _Several]
Stop = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
# The library's name -> the field's, for errors.
_FIELD_OF = {
    "prefix": "prompt", "stop_tokens": "stop_token_ids", "penalty_window": "repeat_last_n",
    "dry_window": "dry_penalty_last_n",
}  # fmt: skip
_STRUCTURED = {
    "json_schema": "structured_outputs.json", "regex": "structured_outputs.regex",
    "grammar": "structured_outputs.grammar", "choices": "structured_outputs.choice",
}  # fmt: skip
_SAME_NAME = (
    "presence_penalty", "frequency_penalty", "logprobs", "echo", "parse_markers", "json_schema",
    "grammar", "truncate",
)  # fmt: skip


class StructuredOutputs(Fields):
    """What the answer has to be; one of them."""

    json_schema: dict[str, Any] | str | None = Field(None, alias="json")
    regex: str | None = None
    choice: Annotated[list[str], Field(min_length=1, max_length=4096)] | None = None
    grammar: str | None = None

    def options(self) -> dict[str, Any]:
        """The library's keyword."""
        found = {
            "json_schema": self.json_schema, "regex": self.regex, "choices": self.choice,
            "grammar": self.grammar,
        }  # fmt: skip
        given = {name: value for name, value in found.items() if value is not None}
        if len(given) != 1:
            message = "structured_outputs: expected one of json, regex, choice and grammar"
            got = ", ".join(_STRUCTURED[name].rpartition(".")[2] for name in given) or "none"
            raise Fault("invalid_request", f"{message}, got {got}", param="structured_outputs")
        return given


class CompletionFields(AnswerFields):
    """The body."""

    unused: ClassVar[frozenset[str]] = frozenset({
        "user", "priority", "request_id", "cache_salt", "cache_prompt", "id_slot", "n_keep",
        "n_probs", "min_keep", "t_max_predict_ms", "timings_per_token", "return_tokens",
        "response_fields", "skip_special_tokens", "spaces_between_special_tokens",
        "add_special_tokens", "truncate_prompt_tokens",
    })  # fmt: skip
    prompt: str | _Ids | Texts | IdLists | None = None
    suffix: str | None = None
    max_tokens: Count | None = None
    n: Positive | None = None
    best_of: Positive | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=MAX_STOPS)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[dict[str, Bias], Field(max_length=MAX_BIASES)] | None = None
    stream_options: StreamOptions | None = None
    logprobs: int | None = Field(None, ge=0, le=20)
    echo: bool | None = None
    prediction: Prediction | None = None
    stop_token_ids: Annotated[list[TokenId], Field(max_length=1024)] | None = None
    structured_outputs: StructuredOutputs | None = None
    json_schema: dict[str, Any] | None = None
    grammar: str | None = None
    parse_markers: bool | None = None
    truncate: Literal["left", "middle"] | None = None

    @property
    def names(self) -> dict[str, str]:
        """The library's names of arguments, and those of the fields that they came in."""
        return _FIELD_OF | (_STRUCTURED if self.structured_outputs is not None else {})

    def options(self) -> dict[str, Any]:
        """The library's keywords but for n, and max_tokens where it is not given.

        Raises:
            Fault: two fields that contradict each other, or a token that is no number.
        """
        found = self.sampling() | self.given(*_SAME_NAME)
        n = self.n or 1
        if self.best_of is not None and self.best_of != n:
            found["best_of"] = self.best_of
        if max(n, self.best_of or 1) > 1:
            found.setdefault("temperature", 1.0)
        if self.max_tokens is not None:
            found["max_tokens"] = self.max_tokens
        if self.stop:
            found["stop"] = [self.stop] if isinstance(self.stop, str) else self.stop
        if self.stop_token_ids:
            found["stop_tokens"] = self.stop_token_ids
        if self.logit_bias:
            found["logit_bias"] = {_token(key): value for key, value in self.logit_bias.items()}
        if self.prediction is not None:
            found["prediction"] = self.prediction.text
        if self.structured_outputs is not None:
            found |= self._structured(found)
        return found

    def _structured(self, found: Collection[str]) -> dict[str, Any]:
        assert self.structured_outputs is not None
        given = self.structured_outputs.options()
        for name in ("json_schema", "grammar"):
            if name in found:
                message = f"{name}: expected nothing beside structured_outputs"
                raise Fault("invalid_request", message, param=name)
        return given


def _token(key: str) -> int:
    """A token's id, which is a key of a JSON object and so a text."""
    if key.isascii() and key.isdigit() and len(key) < 10:
        return int(key)
    raise refused("logit_bias", "ids of tokens", key)
