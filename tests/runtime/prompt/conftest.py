"""infill-10m's vocabulary, sentencepiece with it, and healing read off its specification."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.prompt.infill import InfillFormat, require_format
from halfbyte.tokenizer import Tokenizer

CONTROL, UNKNOWN, UNUSED = 3, 2, 5
N_TEXT = 8000  # the pieces after these are markers


@pytest.fixture(scope="session")
def code_llama(vocabularies: Any) -> InfillFormat:
    return require_format(Tokenizer.from_path(vocabularies.PACKAGED))


@dataclass(frozen=True)
class Theirs:
    """Sentencepiece with infill-10m's vocabulary, deaf to markers: a start's ids, a fragment's."""

    start: Callable[[str], list[int]]
    inside: Callable[[str], list[int]]


@pytest.fixture(scope="session")
def theirs(vocabularies: Any) -> Theirs:
    model = vocabularies.packaged_model()
    markers = [piece.piece for piece in model.pieces[N_TEXT:]]
    assert markers[7:11] == ["▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"]
    return Theirs(
        *(vocabularies.processor(model, dummy_prefix=d, without=markers).encode for d in (1, 0))
    )


def spelled(tokenizer: Tokenizer, ids: Sequence[int]) -> bytes:
    return b"".join(tokenizer.token_bytes(i) for i in ids)


class Naive:
    """The specification, read aloud over the whole vocabulary.

    Back up from the cursor while the vocabulary holds a text piece that properly extends the
    trailing text; at most 8 tokens; never past a newline or a control token.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        types = tokenizer.vocabulary.types
        steering = tokenizer.marker_ids | tokenizer.eog_ids
        self.texts = {
            i: tokenizer.token_bytes(i)
            for i in range(tokenizer.n_vocab)
            if i not in steering and types[i] not in (CONTROL, UNKNOWN, UNUSED)
        }

    def tail(self, ids: Sequence[int]) -> tuple[int, bytes]:
        tail, n_kept = b"", len(ids)
        while n_kept > 0 and len(ids) - n_kept < 8:
            text = self.tokenizer.token_bytes(ids[n_kept - 1])
            longer = text + tail
            if text == b"" or b"\n" in text or b"\r" in text:
                break
            if not any(t.startswith(longer) and t != longer for t in self.texts.values()):
                break
            tail, n_kept = longer, n_kept - 1
        return n_kept, tail

    def coverings(
        self, model: halfbyte.Model, ids: Sequence[int], tail: bytes
    ) -> Iterator[tuple[float, list[int]]]:
        """All tokens that spell the tail, the last perhaps more, and how good they are."""
        begun: list[tuple[float, list[int], bytes]] = [(0.0, [], tail)]
        while begun:
            log_prob, path, rest = begun.pop()
            logits = model.logits([*ids, *path])[-1].astype(np.float64)
            scores = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
            for i, t in self.texts.items():
                if t.startswith(rest):
                    yield log_prob + scores[i] + (np.log(16) if t == rest else 0), [*path, i]
                elif t and rest.startswith(t):
                    begun.append((log_prob + scores[i], [*path, i], rest[len(t) :]))

    def greedy(
        self, model: halfbyte.Model, ids: Sequence[int], tail: bytes, n_tokens: int
    ) -> tuple[list[int], str]:
        """The likeliest tokens that spell the tail, then n_tokens, and their text after it."""
        got = max(self.coverings(model, ids, tail))[1] if tail else []
        lengths = np.cumsum([len(self.tokenizer.token_bytes(i)) for i in got])
        n_spelling = int((lengths <= len(tail)).sum())
        while len(got) - n_spelling < n_tokens:
            token = int(model.logits([*ids, *got])[-1].argmax())
            if token in self.tokenizer.eog_ids:
                break
            got.append(token)
        return got, spelled(self.tokenizer, got)[len(tail) :].decode(errors="replace")


@pytest.fixture(scope="module")
def naive(infill_model: halfbyte.Model) -> Naive:
    return Naive(infill_model.tokenizer)
