"""What a call of `generate` has computed, and what its answers are put together to."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.generation.request import Request
from halfbyte.hf.generation import I64, Batch
from halfbyte.hf.generation_config import GenerationConfig
from halfbyte.hf.generation_names import BEAMS, OUTPUTS, SAMPLING
from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """Ids without padding."""

    prompt: Sequence[int]
    tokens: Sequence[int]


class Plan(Protocol):
    """The answers to a batch: requests to be worked on, and what there is of them then."""

    @property
    def batch(self) -> Batch:
        """The prompts."""

    @property
    def requests(self) -> Sequence[Request]:
        """What is to be done."""

    @property
    def answers(self) -> list[Answer]:
        """Those of all prompts, in the order of their rows."""

    @property
    def streamed(self) -> Sequence[int]:
        """The tokens of the only answer, so far."""

    def output(self) -> Any:
        """The answers, and what else was asked for."""


def joined(batch: Batch, answers: Sequence[Answer], config: GenerationConfig) -> I64:
    """Prompts and answers as one array, int64 (answers, n + longest)."""
    prompts = np.repeat(batch.ids, len(answers) // len(batch.ids), axis=0)
    longest = max(len(answer.tokens) for answer in answers)
    rows = np.full((len(answers), longest), config.padding, np.int64)
    for row, answer in zip(rows, answers, strict=True):
        row[: len(answer.tokens)] = answer.tokens
    return np.concatenate([prompts, rows], axis=1)


def most_tokens(batch: Batch, config: GenerationConfig, n_ctx: int) -> int:
    """Most tokens of an answer; `max_length` counts padding too.

    Raises:
        RequestError: prompts are longer than answers may become.
        ContextLengthError: a prompt fills the context.
    """
    for prompt in batch.prompts:
        if len(prompt) >= n_ctx:
            raise ContextLengthError(len(prompt) + 1, n_ctx, param="inputs")
    n_given = batch.n_given
    if config.max_new_tokens is not None:
        if config.max_length is not None:
            log.warning("max_new_tokens=%d goes before max_length", config.max_new_tokens)
        n_max = config.max_new_tokens
    elif config.max_length is not None:
        n_max = config.max_length - n_given
        if n_max <= 0:
            raise RequestError(
                "max_length", expected=f"more than the prompt's {n_given} tokens",
                got=config.max_length, hint="max_new_tokens counts the answer alone",
            )  # fmt: skip
    else:
        n_max = min(config.get("max_length"), max(n_ctx - n_given, 1))
        log.warning("neither max_new_tokens nor max_length: at most %d tokens", n_max)
    n_min = config.min_new_tokens
    if n_min is None:
        n_min = config.get("min_length") - n_given
    if n_min > n_max:
        log.warning("answers end at %d tokens, below the least length of %d", n_max, n_min)
    return n_max


def tell_unused(stated: GenerationConfig, config: GenerationConfig) -> None:
    """Log what a caller states and what counts for nothing beside the whole."""
    if not config.get("do_sample"):
        _tell(stated, dict.fromkeys(SAMPLING), "do_sample=True")
    if config.get("num_beams") == 1:
        _tell(stated, BEAMS, "num_beams above 1")
    if not config.get("return_dict_in_generate"):
        _tell(stated, dict.fromkeys(OUTPUTS, False), "return_dict_in_generate=True")


def _tell(config: GenerationConfig, off: dict[str, Any], needed: str) -> None:
    for name, value in off.items():
        stated = getattr(config, name)
        if stated is not None and stated != value:
            log.warning("%s has no effect without %s", name, needed)
