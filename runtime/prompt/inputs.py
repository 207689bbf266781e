"""What a caller gave as a prompt, checked, and what it comes to."""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from halfbyte.errors import RequestError

Prompt = str | Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPrompt:
    """What a prompt comes to.

    Attributes:
        tokens: its ids.
        taken_back: the ids that followed, whose text the answer has to spell again.
        stop_ids: tokens that end the answer, besides the tokenizer's `eog_ids`.
    """

    tokens: list[int]
    taken_back: tuple[int, ...] = ()
    stop_ids: frozenset[int] = frozenset()


def as_list(prompt: object) -> tuple[list[Prompt], bool]:
    """The prompts, and whether a list of prompts was given."""
    if isinstance(prompt, str):
        return [prompt], False
    if isinstance(prompt, np.ndarray) and prompt.ndim == 1:
        return [prompt.tolist()], False
    if not isinstance(prompt, Sequence) or isinstance(prompt, (bytes, bytearray)):
        raise RequestError("prompt", expected="text, token ids or a list of these", got=prompt)
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
