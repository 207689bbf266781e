"""What a caller gave as a prompt, checked, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from halfbyte.call_arguments import is_whole
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass

Prompt = str | Sequence[int]
_BYTES = (bytes, bytearray, memoryview)
_NO_PROMPTS = (*_BYTES, Mapping, set, frozenset)  # a set has no order


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


def as_list(prompt: object, name: str = "prompt") -> tuple[list[Prompt], bool]:
    """The prompts, and whether several were given: a list, or anything that yields them."""
    if isinstance(prompt, np.ndarray) and prompt.ndim < 2:
        prompt = prompt.tolist()  # without a dimension, one number or text
    if isinstance(prompt, str):
        return [prompt], False
    if isinstance(prompt, Iterable) and not isinstance(prompt, (*_NO_PROMPTS, Sequence)):
        prompt = list(prompt)
    if not isinstance(prompt, Sequence) or isinstance(prompt, _NO_PROMPTS):
        raise RequestError(name, expected="text, token ids or some of these", got=prompt)
    if not prompt:
        raise RequestError(name, expected="at least one token or text", got="an empty list")
    if all(map(is_whole, prompt)):
        return [prompt], False
    for i, item in enumerate(prompt):
        if not isinstance(item, (str, Sequence, np.ndarray)) or isinstance(item, _BYTES):
            raise RequestError(f"{name}[{i}]", expected="text or token ids", got=item)
    return list(prompt), True


def check_ids(ids: object, name: str, vocab_size: int) -> list[int]:
    """Token ids as a list.

    Raises:
        RequestError: none, not whole numbers, or outside the vocabulary.
    """
    items = ids.tolist() if isinstance(ids, np.ndarray) else ids
    if not isinstance(items, Sequence) or isinstance(items, (str, *_BYTES)) or not items:
        raise RequestError(name, expected="a sequence of at least one token id", got=ids)
    if not all(map(is_whole, items)):
        raise RequestError(name, expected="whole numbers", got=ids)
    for at, item in () if 0 <= min(items) and max(items) < vocab_size else enumerate(items):
        if not 0 <= item < vocab_size:
            expected = f"a token id from 0 to {vocab_size - 1}"
            raise RequestError(f"{name}[{at}]", expected=expected, got=int(item))
    return list(map(int, items))


def check_window(window: object) -> None:
    """RequestError where it is neither None nor a whole number from 1."""
    if window is not None and not (is_whole(window) and window >= 1):
        raise RequestError("window", expected="a whole number from 1, or None", got=repr(window))


def texts_in(value: object) -> Iterator[str]:
    """Every text inside of mappings and sequences, keys included; each container's once."""
    left, known = [value], set()  # some may hold themselves, or each other many times
    while left:
        item = left.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, (Mapping, Sequence)) and id(item) not in known:
            known.add(id(item))
            if isinstance(item, Mapping):
                left += item.values()
            left += item
