"""What `options`, `format` and `think` of a request are in the library's words.

Source: https://github.com/ollama/ollama/blob/main/docs/modelfile.md#parameter. What is not given is
as the library's method has it, but for the answer's length, which has no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from halfbyte.errors import RequestError
from halfbyte.server.fault import Fault, renamed
from halfbyte.server.fields import MAX_TOKENS, Fields, Penalty, Probability, Seed
from halfbyte.server.sampling_fields import Stops
from halfbyte.server.served_model import ServedModel

Format = dict[str, Any] | Literal["", "json"]
Think = bool | Literal["low", "medium", "high"]
TopLogprobs = Annotated[int, Field(ge=0, le=20)]
# Most tokens of thoughts at a level.
_BUDGETS = {"low": 1024, "medium": 4096, "high": 16384}
_SAME_NAME = (
    "temperature", "top_p", "min_p", "typical_p", "presence_penalty", "frequency_penalty", "stop",
    "mirostat", "mirostat_tau", "mirostat_eta",
)  # fmt: skip


# The library's arguments by the names of their fields.
_FIELDS = {
    **{name: f"options.{name}" for name in (*_SAME_NAME, "top_k", "seed")},
    "max_tokens": "options.num_predict", "repetition_penalty": "options.repeat_penalty",
    "penalty_window": "options.repeat_last_n", "json_schema": "format", "texts": "input",
    "thinking": "think", "reasoning_budget": "think",
}  # fmt: skip


@contextmanager
def ollama_errors(**more: str) -> Iterator[None]:
    """Errors about the library's arguments, told of the fields that they came in.

    Raises:
        Fault: in place of a RequestError.
    """
    fields = _FIELDS | more

    def named(argument: str) -> str:
        head, dot, rest = argument.partition(".")
        return f"{fields.get(head, head)}{dot}{rest}"

    try:
        yield
    except RequestError as error:
        raise renamed(error, named) from error


class Options(Fields):
    """The sampling parameters, under Ollama's names."""

    unused: ClassVar[frozenset[str]] = frozenset(
        {
            "num_ctx", "num_keep", "num_batch", "num_gpu", "main_gpu", "low_vram", "f16_kv",
            "logits_all", "vocab_only", "use_mmap", "use_mlock", "num_thread", "numa",
            "embedding_only", "penalize_newline", "tfs_z", "draft_num_predict",
        }
    )  # fmt: skip
    num_predict: int | None = Field(default=None, ge=-2, le=MAX_TOKENS)
    temperature: float | None = Field(default=None, ge=0, le=1e3)
    top_k: int | None = Field(default=None, ge=-1, lt=1 << 31)
    top_p: Probability | None = None
    min_p: Probability | None = None
    typical_p: Probability | None = None
    repeat_penalty: float | None = Field(default=None, ge=0.01, le=100)
    repeat_last_n: int | None = Field(default=None, ge=-1, lt=1 << 31)
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    mirostat: int | None = Field(default=None, ge=0, le=2)
    mirostat_tau: float | None = Field(default=None, ge=0, le=1e3)
    mirostat_eta: Probability | None = None
    seed: Seed | None = None
    stop: Stops | None = None

    def arguments(self, most: int) -> dict[str, Any]:
        """As keywords of the library's methods; `most` tokens where there is no limit."""
        limit = self.num_predict
        made: dict[str, Any] = {"max_tokens": most if limit is None or limit < 0 else limit}
        made |= {n: value for n in _SAME_NAME if (value := getattr(self, n)) is not None}
        if self.top_k is not None:
            made["top_k"] = max(self.top_k, 0)
        if self.repeat_penalty is not None:
            made["repetition_penalty"] = self.repeat_penalty
        if self.seed is not None and self.seed >= 0:
            made["seed"] = self.seed
        if self.repeat_last_n is not None and self._has_penalty:
            made["penalty_window"] = None if self.repeat_last_n < 0 else self.repeat_last_n
        return made

    @property
    def _has_penalty(self) -> bool:
        asked = self.repeat_penalty, self.presence_penalty, self.frequency_penalty
        return any(value not in (None, idle) for value, idle in zip(asked, (1, 0, 0), strict=True))


class Asked(Fields):
    """What requests for answers have in common."""

    unused: ClassVar[frozenset[str]] = frozenset({"shift", "runner"})
    model: str | None = None
    stream: bool | None = None
    options: Options | None = None
    format: Format | None = None
    think: Think | None = None
    keep_alive: int | float | str | None = None
    logprobs: bool | None = None
    top_logprobs: TopLogprobs | None = None
    truncate: bool | None = None

    @property
    def is_streamed(self) -> bool:
        """Whether the answer comes in lines; it does if nobody says otherwise."""
        return self.stream is not False

    def sampling(self, most: int) -> dict[str, Any]:
        """The keywords of every method."""
        options = self.options or Options()
        options.mention("Ollama's options")
        made = options.arguments(most)
        if self.format:
            made["json_schema"] = {"type": "object"} if self.format == "json" else self.format
        if self.logprobs:
            made["logprobs"] = self.top_logprobs or 0
        return made

    def thinking(self, model: ServedModel) -> dict[str, Any]:
        """The keywords about thoughts.

        Raises:
            Fault: they are wanted of a model that has none.
        """
        if self.think and not model.can_think:
            message = f"think: {model.name[:200]!r} does not support thinking"
            raise Fault("invalid_request", message, param="think")
        if not model.has_switch:
            made: dict[str, Any] = {}
        elif self.think is None:
            made = {"thinking": False} if self.format else {}  # a schema leaves no room for them
        else:
            made = {"thinking": bool(self.think)}
        if isinstance(self.think, str) and self.think in _BUDGETS and model.reads_effort:
            made["reasoning_effort"] = self.think
        elif isinstance(self.think, str) and self.think in _BUDGETS:
            made["reasoning_budget"] = _BUDGETS[self.think]
        return made
