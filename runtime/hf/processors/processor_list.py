"""Which functions change an answer's scores, in transformers' order.

Source: transformers 5.23, generation/utils.py, GenerationMixin._get_logits_processor.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from halfbyte.errors import RequestError
from halfbyte.generation.sampler import F32, I64
from halfbyte.hf.generation_config import GenerationConfig
from halfbyte.hf.processors import biases, callers_own, lengths, repetitions
from halfbyte.hf.processors.processing import Function
from halfbyte.lazy_dataclass import dataclass

_WITH_IDS = ("suppress_tokens", "begin_suppress_tokens", "forced_eos_token_id", "bad_words_ids",
             "sequence_bias", "forced_bos_token_id")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """An answer among those of a call.

    Attributes:
        batch_id: its row, or its prompt's where there are beams.
        n_padding, n_given: ids of its prompt that are padding, and with these in all.
        n_max: most tokens of it.
        n_vocab: ids are below.
    """

    batch_id: int
    n_padding: int
    n_given: int
    n_max: int
    n_vocab: int


def functions_of(config: GenerationConfig, place: Place) -> list[Function]:
    """The functions, none where nothing asks for one.

    Raises:
        RequestError: ids outside the vocabulary, or forced tokens that are suppressed too.
    """
    _check_ids(config, place.n_vocab)
    _check_forced(config)
    return [*_of_tokens(config, place), *_of_lengths(config, place), *_last(config, place)]


def _of_tokens(config: GenerationConfig, place: Place) -> Iterator[Function]:
    if config.sequence_bias is not None:
        yield biases.SequenceBias(dict(config.sequence_bias))
    if (penalty := config.get("repetition_penalty")) != 1.0:
        yield repetitions.RepetitionPenalty(penalty, place.n_padding)
    if n := config.get("no_repeat_ngram_size"):
        yield repetitions.NoRepeatedNgrams(n)
    if config.bad_words_ids is not None:
        yield biases.bad_words(config.bad_words_ids, config.end_ids)


def _of_lengths(config: GenerationConfig, place: Place) -> Iterator[Function]:
    ends = [token for token in config.end_ids if token < place.n_vocab]
    n_least, name = config.get("min_length"), "min_length"
    if config.min_new_tokens is not None:
        n_least, name = place.n_given + config.min_new_tokens, "min_new_tokens"
    if n_least > place.n_given and ends:
        yield lengths.LeastLength(n_least, ends, name)
    if config.prefix_allowed_tokens_fn is not None:
        has_beams = config.get("num_beams") > 1
        yield callers_own.AllowedTokens(config.prefix_allowed_tokens_fn, place.batch_id, has_beams)
    if (first := config.forced_bos_token_id) is not None:
        yield lengths.Forced([first], 1, "forced_bos_token_id")
    if (forced := config.forced_eos_token_id) is not None:
        last = place.n_given + place.n_max - 1
        yield lengths.Forced(_listed(forced), last, "forced_eos_token_id")
    if config.remove_invalid_values:
        yield biases.FiniteScores()
    if config.exponential_decay_length_penalty is not None and ends:
        begin, factor = config.exponential_decay_length_penalty
        yield lengths.LikelierEnd(place.n_given + begin, factor, ends)


def _last(config: GenerationConfig, place: Place) -> Iterator[Function]:
    if config.suppress_tokens:
        yield biases.Suppressed(config.suppress_tokens)
    if config.begin_suppress_tokens:
        is_after_bos = place.n_given == 1 and config.forced_bos_token_id is not None
        yield biases.Suppressed(config.begin_suppress_tokens, place.n_given + int(is_after_bos))
    own = config.logits_processor or ()
    for i, processor in enumerate(own):
        name = f"logits_processor[{i}]" if len(own) > 1 else "logits_processor"
        yield callers_own.OwnProcessor(processor, name)


@dataclass(frozen=True, slots=True)
class Normalized:
    """Makes logarithms of probabilities of scores."""

    name: str = "renormalize_logits"

    def __call__(self, ids: I64, row: F32) -> None:
        """See Function."""
        row[:] = normalized(row)


def normalized(row: F32) -> F32:
    """Logarithms of the probabilities that scores stand for; of nothing but -inf, the same."""
    top = row.max()
    if not np.isfinite(top):
        return row
    x: F32 = row - top
    with np.errstate(under="ignore"):
        x -= np.log(np.exp(x, dtype=np.float64).sum()).astype(np.float32)
    return x


def _listed(value: int | list[int]) -> list[int]:
    return value if isinstance(value, list) else [value]


def _check_ids(config: GenerationConfig, n_vocab: int) -> None:
    for name in _WITH_IDS:
        value = getattr(config, name)
        for item in () if value is None else value if not isinstance(value, int) else [value]:
            for token in item if isinstance(item, (list, tuple)) else [item]:
                if token >= n_vocab:
                    raise RequestError(name, expected=f"ids below {n_vocab}", got=token)


def _check_forced(config: GenerationConfig) -> None:
    for name in ("forced_bos_token_id", "forced_eos_token_id"):
        value = getattr(config, name)
        if value is not None and set(_listed(value)) <= set(config.suppress_tokens or ()):
            expected = "a token that suppress_tokens does not have"
            raise RequestError(name, expected=expected, got=value)
