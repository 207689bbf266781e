"""What a caller gave as a prompt, checked, and what it comes to."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from halfbyte.errors import RequestError
from halfbyte.prompt.healing import Healing

Prompt = str | Sequence[int]
_NO_PROMPTS = (bytes, bytearray, memoryview, Mapping, set, frozenset)  # a set has no order


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPrompt:
    """What a prompt comes to.

    Attributes:
        tokens: its ids.
        healing: what the answer's first tokens have to spell, or None.
        stop_ids: tokens that end the answer, besides the tokenizer's `eog_ids`.
    """

    tokens: list[int]
    healing: Healing | None = None
    stop_ids: frozenset[int] = frozenset()


def as_list(prompt: object) -> tuple[list[Prompt], bool]:
    """The prompts, and whether several were given: a list, or anything that yields them."""
    if isinstance(prompt, str):
        return [prompt], False
    if isinstance(prompt, np.ndarray) and prompt.ndim == 1:
        prompt = prompt.tolist()
    elif isinstance(prompt, Iterable) and not isinstance(prompt, (*_NO_PROMPTS, Sequence)):
        prompt = list(prompt)
    if not isinstance(prompt, Sequence) or isinstance(prompt, _NO_PROMPTS):
        raise RequestError("prompt", expected="text, token ids or some of these", got=prompt)
    if not prompt:
        raise RequestError("prompt", expected="at least one token or prompt", got="an empty list")
    if all(isinstance(item, numbers.Integral) and not isinstance(item, bool) for item in prompt):
        return [prompt], False
    for i, item in enumerate(prompt):
        is_prompt = isinstance(item, (str, Sequence, np.ndarray))
        if not is_prompt or isinstance(item, (bytes, bytearray)):
            raise RequestError(f"prompt[{i}]", expected="text or token ids", got=item)
    return list(prompt), True


def check_ids(ids: Sequence[int], name: str, vocab_size: int) -> list[int]:
    """Token ids as a list.

    Raises:
        RequestError: none, not whole numbers, or outside the vocabulary.
    """
    array = np.asarray(ids)
    if array.ndim != 1 or array.size == 0:
        raise RequestError(name, expected="a sequence of at least one token id", got=ids)
    if not np.issubdtype(array.dtype, np.integer):
        raise RequestError(name, expected="whole numbers", got=ids)
    wrong = (array < 0) | (array >= vocab_size)
    if wrong.any():
        at = int(wrong.argmax())
        raise RequestError(
            f"{name}[{at}]", expected=f"a token id from 0 to {vocab_size - 1}", got=int(array[at])
        )
    return [int(i) for i in array]


def check_window(window: object) -> None:
    """RequestError where it is neither None nor a whole number from 1."""
    is_whole = isinstance(window, numbers.Integral) and not isinstance(window, bool)
    if window is not None and not (is_whole and window >= 1):  # type: ignore[operator]
        raise RequestError("window", expected="a whole number from 1, or None", got=repr(window))


def texts_in(value: object) -> Iterator[str]:
    """Every text inside of mappings and sequences, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts_in(key)
            yield from texts_in(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from texts_in(item)
