"""`generate`: rows of token ids continued together, as transformers shapes them.

Rows are padded on the left, as `tokenizer(..., padding=True, padding_side="left")` gives them. What
a row says depends on nothing beside it; its padding is left out, not computed.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.call_arguments import is_whole
from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.request import Continuation
from halfbyte.generation.sampler import F32, Sampler
from halfbyte.hf.batch import import_torch, tensor_type_of, to_lists
from halfbyte.hf.generation_config import SAMPLING, GenerationConfig
from halfbyte.hf.logits_processors import processor_rule
from halfbyte.tokenizer import Tokenizer

log = logging.getLogger(__name__)

I64 = NDArray[np.int64]


# Where the seeds of sampled rows come from; it locks itself.
_seeds = np.random.default_rng()


def set_seed(seed: int) -> None:
    """Make what `generate` and pipelines draw from now on repeatable, by a whole number from 0.

    Other generators of random numbers (Python's, NumPy's, torch's) are left alone.
    """
    if not is_whole(seed) or seed < 0:
        raise RequestError("seed", expected="a whole number from 0", got=repr(seed))
    global _seeds
    _seeds = np.random.default_rng(int(seed))


class Row(Continuation):
    """One answer on its way: a request that keeps every token.

    Attributes:
        n_max, n_min: tokens that the answer has at most, and before an end token may come.
        end_ids: tokens that end the answer and belong to it.
        stops: texts that end it.
    """

    def __init__(
        self,
        prompt: Sequence[int],
        n_ctx: int,
        params: SamplingParams,
        tokenizer: Tokenizer,
        *,
        n_max: int,
        n_min: int,
        end_ids: frozenset[int],
        stops: tuple[bytes, ...],
        processors: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(prompt, n_ctx, None)  # ids are never taken back
        self.n_max, self.n_min, self.end_ids, self.stops = n_max, n_min, end_ids, stops
        self._sampler = Sampler(params, tokenizer.n_vocab, prompt)
        self._processors = processor_rule(processors, prompt)
        self._tokenizer = tokenizer
        n_tail = max(map(len, stops), default=0)
        # The end of the text so far, the prompt's included, in which a stop may have begun.
        self._tail = b"".join(map(tokenizer.token_bytes, prompt[-n_tail:])) if stops else b""

    def sample(self, logits: F32) -> int:
        """The next token; no end token before its time."""
        if self.n_generated < self.n_min and self.end_ids:
            logits = logits.copy()
            logits[list(self.end_ids)] = -np.inf
        if self._processors is None:
            return self._sampler.sample(logits)
        row = self._sampler.penalized(logits).copy()
        self._processors.change(row)
        return self._sampler.choose(row)

    def accept(self, token: int) -> None:
        """Take a token, and see whether it ends the answer."""
        self.ids.append(token)
        self._sampler.accept(token)
        if self._processors is not None:
            self._processors.accept(token)
        if token in self.end_ids or self._completes_stop(token):
            self.finish_reason = "stop"
        elif self.n_generated >= self.n_max:
            self.finish_reason = "length"
        elif len(self.ids) >= self.n_ctx:
            self.finish_reason = "context"
            log.warning("the context of %d tokens is full: the answer ends there", self.n_ctx)

    def _completes_stop(self, token: int) -> bool:
        """Whether a stop ends within this token's text."""
        if not self.stops:
            return False
        n_tail = len(self._tail)
        text = self._tail + self._tokenizer.token_bytes(token)
        self._tail = text[-max(map(len, self.stops)) :]
        return any(text.find(stop, max(n_tail - len(stop) + 1, 0)) >= 0 for stop in self.stops)


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked rows of ids: `prompts` without padding, `ids` (batch, n) as they were given."""

    ids: I64
    prompts: list[list[int]]
    tensor_type: str

    def give_back(self, array: I64) -> Any:
        """An array of the kind that the caller gave."""
        is_torch = self.tensor_type == "pt"
        return import_torch("inputs").from_numpy(array) if is_torch else array


def read_batch(
    inputs: Any, attention_mask: Any, config: GenerationConfig, vocab_size: int
) -> Batch:
    """Rows of ids and their mask, checked.

    Args:
        inputs: whole numbers (batch, n), an array, a tensor or lists; None takes BOS.
        attention_mask: the same shape, 0 for padding; None marks `pad_token_id` as padding where
            it does not end answers too.
        config: whose `bos_token_id`, `eos_token_id` and `pad_token_id` are looked at.
        vocab_size: ids are below.

    Raises:
        RequestError: another shape or kind, ids out of range, padding not on the left alone.
    """
    if inputs is None:
        if config.bos_token_id is None:
            raise RequestError("inputs", expected="token ids, as there is no bos_token_id")
        inputs = np.array([[config.bos_token_id]])
    ids = matrix("inputs", inputs)
    outside = ids[(ids < 0) | (ids >= vocab_size)]
    if outside.size:
        raise RequestError("inputs", expected=f"ids below {vocab_size}", got=int(outside[0]))
    if attention_mask is None:
        pad = config.pad_token_id
        is_pad = pad is not None and pad not in end_ids(config)
        mask = ids != pad if is_pad else np.ones_like(ids, bool)
    else:
        mask = matrix("attention_mask", attention_mask).astype(bool)
        if mask.shape != ids.shape:
            raise RequestError("attention_mask", expected=f"shape {ids.shape}", got=mask.shape)
    if not mask[:, -1].all() or (mask[:, :-1] & ~mask[:, 1:]).any():
        raise RequestError(
            "attention_mask", expected="padding on the left alone, and a token in every row",
            got="padding behind or between tokens",
            hint="tokenize with padding_side='left'",
        )  # fmt: skip
    prompts = [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)]
    return Batch(ids, prompts, tensor_type_of(inputs) or "np")


def end_ids(config: GenerationConfig) -> list[int]:
    """The tokens that end an answer; the first one pads where nothing else does."""
    ids = config.eos_token_id
    return [] if ids is None else ids if isinstance(ids, list) else [ids]


def new_rows(batch: Batch, config: GenerationConfig, tokenizer: Tokenizer, n_ctx: int) -> list[Row]:
    """The answers to be made: `num_return_sequences` for each prompt, side by side.

    Raises:
        RequestError: lengths or values that do not go together.
        ContextLengthError: a prompt fills the context.
    """
    n_max, n_min = _lengths(config, batch.ids.shape[1], n_ctx)
    for prompt in batch.prompts:
        if len(prompt) >= n_ctx:
            raise ContextLengthError(len(prompt) + 1, n_ctx, param="inputs")
    n_each = config.get("num_return_sequences")
    if n_each > 1 and not config.get("do_sample"):
        raise RequestError("num_return_sequences", expected="1 without do_sample=True", got=n_each)
    stated = config.stop_strings or ()
    stops = [stop.encode() for stop in ([stated] if isinstance(stated, str) else stated)]
    prompts = [prompt for prompt in batch.prompts for _ in range(n_each)]
    return [
        Row(
            prompt, n_ctx, params, tokenizer, n_max=n_max, n_min=n_min,
            end_ids=frozenset(end_ids(config)), stops=tuple(stops),
            processors=config.logits_processor,
        )
        for prompt, params in zip(prompts, _sampling(config, len(prompts)), strict=True)
    ]  # fmt: skip


def join(batch: Batch, rows: Sequence[Row], config: GenerationConfig) -> I64:
    """Prompts and answers as one array, int64 (batch * num_return_sequences, n + longest)."""
    n_each = len(rows) // len(batch.ids)
    prompts = np.repeat(batch.ids, n_each, axis=0)
    longest = max(len(row.tokens) for row in rows)
    stated = config.pad_token_id
    padding = next(iter(end_ids(config)), 0) if stated is None else stated
    answers = np.full((len(rows), longest), padding, np.int64)
    for answer, row in zip(answers, rows, strict=True):
        answer[: len(row.tokens)] = row.tokens
    return np.concatenate([prompts, answers], axis=1)


def _lengths(config: GenerationConfig, n_prompt: int, n_ctx: int) -> tuple[int, int]:
    """Most and fewest tokens of an answer; `max_length` and `min_length` count padding too."""
    n_min = config.min_new_tokens
    if n_min is None:
        n_min = config.get("min_length") - n_prompt
    if config.max_new_tokens is not None:
        if config.max_length is not None:
            log.warning("max_new_tokens=%d goes before max_length", config.max_new_tokens)
        n_max = config.max_new_tokens
    elif config.max_length is not None:
        n_max = config.max_length - n_prompt
        if n_max <= 0:
            raise RequestError(
                "max_length", expected=f"more than the prompt's {n_prompt} tokens",
                got=config.max_length, hint="max_new_tokens counts the answer alone",
            )  # fmt: skip
    else:
        n_max = min(config.get("max_length"), max(n_ctx - n_prompt, 1))
        log.warning("neither max_new_tokens nor max_length: at most %d tokens", n_max)
    if n_min > n_max:
        log.warning("answers end at %d tokens, below the least length of %d", n_max, n_min)
    return n_max, n_min


def _sampling(config: GenerationConfig, n: int) -> list[SamplingParams]:
    """The parameters of n rows, each with a seed of its own."""
    values: dict[str, Any] = {"repetition_penalty": config.get("repetition_penalty")}
    chosen = {name: value for name in SAMPLING if (value := config.get(name)) is not None}
    SamplingParams.from_kwargs(**values, **chosen)
    if not config.get("do_sample"):
        for name in SAMPLING:
            if getattr(config, name) is not None:
                log.warning("%s has no effect without do_sample=True", name)
        return [SamplingParams.from_kwargs(**values)] * n
    if chosen["temperature"] == 0:
        raise RequestError(
            "temperature", expected="a number above 0", got=0, hint="do_sample=False is greedy"
        )
    seeds = _seeds.integers(2**63, size=n).tolist()
    return [SamplingParams.from_kwargs(**values, **chosen, seed=seed) for seed in seeds]


def matrix(name: str, value: Any) -> I64:
    """Whole numbers of shape (batch, n); raises RequestError for anything else."""
    try:
        array = np.asarray(to_lists(value))
    except ValueError:
        array = np.empty(0)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iub":
        raise RequestError(
            name, expected="whole numbers of shape (batch, n)", got=_shown(value),
            hint="tokenizer(..., return_tensors='np') gives them",
        )  # fmt: skip
    return array.astype(np.int64)


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"{value.dtype} of shape {tuple(shape)}"
