"""What a caller gave as a prompt, checked, and what it comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from halfbyte.call_arguments import is_whole
from halfbyte.errors import RequestError
from halfbyte.prompt.healing import Healing

Prompt = str | Sequence[int]
_BYTES = (bytes, bytearray, memoryview)


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
    """The prompts, and whether a list of prompts was given."""
    if isinstance(prompt, str):
        return [prompt], False
    if isinstance(prompt, np.ndarray) and prompt.ndim == 1:
        prompt = prompt.tolist()
    if not isinstance(prompt, Sequence) or isinstance(prompt, _BYTES):
        raise RequestError("prompt", expected="text, token ids or a list of these", got=prompt)
    if not prompt:
        raise RequestError("prompt", expected="at least one token or prompt", got="an empty list")
    if all(is_whole(item) for item in prompt):
        return [prompt], False
    for i, item in enumerate(prompt):
        if not isinstance(item, (str, Sequence, np.ndarray)) or isinstance(item, _BYTES):
            raise RequestError(f"prompt[{i}]", expected="text or token ids", got=item)
    return list(prompt), True


def check_ids(ids: object, name: str, vocab_size: int) -> list[int]:
    """Token ids as a list.

    Raises:
        RequestError: none, not whole numbers, or outside the vocabulary.
    """
    items = ids.tolist() if isinstance(ids, np.ndarray) else ids
    if not isinstance(items, Sequence) or isinstance(items, (str, *_BYTES)) or not items:
        raise RequestError(name, expected="a sequence of at least one token id", got=ids)
    if not all(is_whole(item) for item in items):
        raise RequestError(name, expected="whole numbers", got=ids)
    for at, item in enumerate(items):
        if not 0 <= item < vocab_size:
            expected = f"a token id from 0 to {vocab_size - 1}"
            raise RequestError(f"{name}[{at}]", expected=expected, got=int(item))
    return [int(item) for item in items]


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
