"""The values of generation parameters, checked one by one: their types and ranges."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from typing import Any

from halfbyte.call_arguments import is_whole, literal
from halfbyte.errors import RequestError
from halfbyte.hf.arguments import check_count
from halfbyte.hf.batch import to_lists
from halfbyte.tokenizer.tokenizer import check_text

_FLAGS = (
    "do_sample", "output_attentions", "output_hidden_states", "output_logits", "output_scores",
    "remove_invalid_values", "renormalize_logits", "return_dict_in_generate",
)  # fmt: skip
_COUNTS = {
    **dict.fromkeys(
        ("max_length", "max_new_tokens", "num_beams", "num_beam_groups", "num_return_sequences",
         "prompt_lookup_num_tokens"), 1,
    ),
    **dict.fromkeys(
        ("min_length", "min_new_tokens", "top_k", "pad_token_id", "bos_token_id",
         "forced_bos_token_id", "no_repeat_ngram_size"), 0,
    ),
}  # fmt: skip
_REALS: dict[str, tuple[float, float]] = {
    "diversity_penalty": (0.0, 100.0),
    "epsilon_cutoff": (0.0, 1.0),
    "eta_cutoff": (0.0, 1.0),
    "length_penalty": (-100.0, 100.0),
    "max_time": (0.0, 1e9),
    "min_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "temperature": (0.0, math.inf),
    "top_h": (0.0, 1.0),
    "top_p": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
}
_ABOVE_ZERO = ("max_time", "top_h", "typical_p")
_IDS = "a list of token ids"


def checked(name: str, value: Any) -> Any:
    """The value of a parameter, arrays as lists; RequestError where it is none of it."""
    if value is None:
        return None
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise RequestError(name, expected="True or False", got=literal(value))
    elif name in _COUNTS:
        check_count(name, value, _COUNTS[name])
    elif name in _REALS:
        return _real(name, value, *_REALS[name])
    elif name in _OTHERS:
        return _OTHERS[name](name, value)
    return value


def _real(name: str, value: Any, low: float, high: float) -> float:
    above = " above 0" if name in _ABOVE_ZERO else f" from {low:g}"
    expected = f"a number{above}" + (f" to {high:g}" if high < math.inf else "")
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if is_number:
        try:
            number = float(value)
        except OverflowError:
            number = math.nan
        if low <= number <= high and math.isfinite(number) and (number or name not in _ABOVE_ZERO):
            return number
    raise RequestError(name, expected=expected, got=literal(value))


def _lists(name: str, value: Any) -> Any:
    """Arrays and tensors as lists."""
    try:
        return to_lists(value)
    except RequestError as error:  # lists that hold themselves
        raise RequestError(name, expected=error.expected, got=error.got) from error


def _one_or_several(name: str, value: Any) -> int | list[int]:
    ids = _lists(name, value)
    for item in ids if isinstance(ids, (list, tuple)) else [ids]:
        check_count(name, item, 0)
    return list(ids) if isinstance(ids, (list, tuple)) else ids


def _several(name: str, value: Any) -> list[int]:
    ids = _lists(name, value)
    if not isinstance(ids, (list, tuple)):
        raise RequestError(name, expected=_IDS, got=literal(value))
    for item in ids:
        _check_id(name, item)
    return [int(item) for item in ids]


def _words(name: str, value: Any) -> list[list[int]]:
    words = _lists(name, value)
    if not isinstance(words, (list, tuple)) or not words:
        raise RequestError(name, expected="lists of token ids, one at least", got=literal(value))
    return [_word(name, word) for word in words]


def _word(name: str, word: Any) -> list[int]:
    if not isinstance(word, (list, tuple)) or not word:
        raise RequestError(name, expected="lists of token ids, none empty", got=literal(word))
    return _several(name, list(word))


def _check_id(name: str, value: object) -> None:
    if not is_whole(value) or value < 0:
        raise RequestError(name, expected="token ids, whole numbers from 0", got=literal(value))


def _biases(name: str, value: Any) -> dict[tuple[int, ...], float]:
    """{(ids): bias}, or as a list of [[ids], bias]; -inf forbids."""
    expected = "a mapping of tuples of ids to numbers, or a list of [ids, number], one at least"
    pairs = list(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, (list, tuple)) or not pairs:
        raise RequestError(name, expected=expected, got=literal(value))
    found: dict[tuple[int, ...], float] = {}
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise RequestError(name, expected=expected, got=literal(pair))
        word, bias = pair
        is_number = isinstance(bias, numbers.Real) and not isinstance(bias, bool)
        if not is_number or not (bias == -math.inf or abs(bias) <= 1e6):
            low = "a number from -1e6 to 1e6, or -inf, for each"
            raise RequestError(name, expected=low, got=literal(bias))
        found[tuple(_word(name, word))] = float(bias)
    return found


def _decay(name: str, value: Any) -> tuple[int, float]:
    expected = "a pair: tokens of the answer from which on it counts, and a factor from 0 to 100"
    pair = _lists(name, value)
    if not isinstance(pair, (list, tuple)) or len(pair) != 2 or not is_whole(pair[0]):
        raise RequestError(name, expected=expected, got=literal(value))
    if pair[0] < 0:
        raise RequestError(name, expected=expected, got=literal(value))
    return int(pair[0]), _real(name, pair[1], 0.0, 100.0)


def _early(name: str, value: Any) -> Any:
    if not isinstance(value, bool) and not (isinstance(value, str) and value == "never"):
        raise RequestError(name, expected='True, False or "never"', got=literal(value))
    return value


def _functions(name: str, value: Any) -> list[Any] | None:
    expected = f"a list of functions of (input_ids, scores), as a {_LISTS[name]} is"
    if not isinstance(value, (list, tuple)) or not all(map(callable, value)):
        raise RequestError(name, expected=expected, got=literal(value))
    return list(value) or None


def _function(name: str, value: Any) -> Any:
    if not callable(value):
        expected = "a function of (batch_id, input_ids) that gives token ids"
        raise RequestError(name, expected=expected, got=literal(value))
    return value


def _texts(name: str, value: Any) -> Any:
    for item in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(item, str) or not item:
            raise RequestError(name, expected="texts that are not empty", got=literal(item))
        check_text(item, name)
    return value


_LISTS = {"logits_processor": "LogitsProcessorList", "stopping_criteria": "StoppingCriteriaList"}
_OTHERS: dict[str, Callable[[str, Any], Any]] = {
    "bad_words_ids": _words,
    "begin_suppress_tokens": _several,
    "early_stopping": _early,
    "eos_token_id": _one_or_several,
    "exponential_decay_length_penalty": _decay,
    "forced_eos_token_id": _one_or_several,
    "logits_processor": _functions,
    "prefix_allowed_tokens_fn": _function,
    "sequence_bias": _biases,
    "stop_strings": _texts,
    "stopping_criteria": _functions,
    "suppress_tokens": _several,
}
