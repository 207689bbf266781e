"""Takes the probabilities of tokens as they are chosen, for whoever asks.

A request has one only where it is asked for: the logarithms cost an exponential of each logit, and
the likeliest tokens a partition of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from halfbyte.generation.probabilities import Probabilities, TokenLogprob, TopToken
from halfbyte.generation.sampler import F32, F64, Sampler, log_softmax, top_k_indices
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.detokenizer import StreamDetokenizer


@dataclass(frozen=True, slots=True)
class Taken:
    """One token's: its log-probability, and ids with theirs, the likeliest first."""

    logprob: float | None
    top: tuple[tuple[int, float], ...] = ()


class PromptRecorder:
    """Those of a prompt, which may be several requests': the first that computes a row tells it.

    Attributes:
        taken: of the first tokens, as far as they are known.
    """

    def __init__(self, n_top: int) -> None:
        self.taken = [Taken(None)]
        self._n_top = n_top

    def take(self, row: F32, token: int) -> None:
        """The next token of the prompt, after which `row` came from its predecessor."""
        self.taken.append(taken_of(row, token, self._n_top))


class Recorder:
    """Those of an answer."""

    def __init__(self, asked: Probabilities, sampler: Sampler) -> None:
        self._n_top = asked.logprobs or 0
        self._sampler = sampler if asked.logprobs_of == "sampler" else None
        self.taken: list[Taken] = []

    def take(self, row: F32, token: int) -> None:
        """A token was chosen, last by the sampler, from the model's logits."""
        if self._sampler is None:
            self.take_raw(row, token)
        else:
            self.taken.append(_drawn(self._sampler, token, self._n_top))

    def rewind(self, n: int) -> None:
        """Forget the last n tokens."""
        del self.taken[len(self.taken) - n :]

    def take_raw(self, row: F32 | None, token: int) -> None:
        """A token was taken that no sampler chose; its row, None where nobody looked at it."""
        self.taken.append(Taken(None) if row is None else taken_of(row, token, self._n_top))


@dataclass(frozen=True, slots=True)
class Recording:
    """What is wanted of one prompt and its answers.

    Attributes:
        asked: by the caller.
        prompt: takes the prompt's, where they are wanted.
        echoed: the prompt's text, where the result is to begin with it.
    """

    asked: Probabilities
    prompt: PromptRecorder | None = None
    echoed: str | None = None

    @classmethod
    def of(cls, asked: Probabilities, text: str = "") -> Recording | None:
        """One for a prompt of this text; None where nothing is asked."""
        if not (asked.are_wanted or asked.echo):
            return None
        n_top = asked.prompt_logprobs
        prompt = None if n_top is None else PromptRecorder(n_top)
        return cls(asked, prompt, text if asked.echo else None)

    def of_prompt(self, tokenizer: Tokenizer, prompt: Sequence[int]) -> list[TokenLogprob] | None:
        """What is told of a prompt's tokens."""
        if self.prompt is None:
            return None
        return Teller(tokenizer, is_start=True).tell(prompt, self.prompt.taken)

    def teller(self, tokenizer: Tokenizer, healed: bytes) -> Teller:
        """What tells of an answer whose tokens begin with those that spell `healed`."""
        if self.echoed is None:
            return Teller(tokenizer, -len(healed.decode(errors="replace")))
        return Teller(tokenizer, is_start=True)

    def of_answer(
        self, teller: Teller, prompt: Sequence[int], tokens: Sequence[int], taken: Sequence[Taken]
    ) -> list[TokenLogprob]:
        """What is told of an answer's tokens so far, by its teller."""
        if self.echoed is None:
            return teller.tell(tokens, taken)
        known = self.prompt.taken if self.prompt else [Taken(None)] * len(prompt)
        return teller.tell([*prompt, *tokens], [*known[: len(prompt)], *taken])


def taken_of(row: F32, token: int, n_top: int) -> Taken:
    """A token's place among the model's logits (V,), at temperature 1."""
    return taken_from(log_softmax(row), token, n_top)


def taken_from(logs: F64, token: int, n_top: int) -> Taken:
    """A token's place among logarithms of probabilities (V,)."""
    return Taken(float(logs[token]), _tops(logs, n_top))


class Teller:
    """Tells of tokens as they come, each once however often it is asked.

    Tokens may be taken back meanwhile, by another thread: what is told then begins anew.
    """

    def __init__(self, tokenizer: Tokenizer, at: int = 0, *, is_start: bool = False) -> None:
        """One of tokens whose text begins at an offset, or that begin a text.

        A sentencepiece vocabulary's space before a text's first word is no character of that.
        """
        self._tokenizer, self._begin = tokenizer, (at, is_start)
        self._least = min(at, 0)
        self._restart()

    def _restart(self) -> None:
        self._at, self._is_start = self._begin
        self._text = StreamDetokenizer(self._tokenizer)
        self._tokens: list[int] = []
        self._told: list[TokenLogprob] = []

    def tell(self, tokens: Sequence[int], taken: Sequence[Taken]) -> list[TokenLogprob]:
        """What a caller is told of tokens, of which it may know the first ones."""
        spell = self._tokenizer.token_bytes
        if self._tokens != list(tokens[: len(self._tokens)]):
            self._restart()
        for i in range(len(self._told), min(len(tokens), len(taken))):
            token, one = tokens[i], taken[i]
            piece = spell(token)
            if self._is_start and piece:
                has_space = self._tokenizer.adds_space and piece.startswith(b" ")
                self._at, self._is_start = -int(has_space), False
            top = tuple(TopToken(i, spell(i), logprob) for i, logprob in one.top)
            offset = max(self._at, self._least)
            self._told.append(TokenLogprob(token, piece, offset, one.logprob, top))
            self._tokens.append(token)
            self._at += len(self._text.push(token))
        return self._told.copy()


def _drawn(sampler: Sampler, token: int, n_top: int) -> Taken:
    """The last draw's; of a greedy choice, one token is certain."""
    if sampler.drawn_from is None:
        return Taken(0.0, ((token, 0.0),) if n_top else ())
    ids, probs = sampler.drawn_from
    with np.errstate(divide="ignore", under="ignore"):
        logs = np.log(probs / probs.sum())
    at = token if ids is None else int(np.searchsorted(ids, token))
    top = _tops(logs, n_top)
    if ids is not None:
        top = tuple((int(ids[i]), logprob) for i, logprob in top)
    return Taken(float(logs[at]), top)


def _tops(logs: F64, n: int) -> tuple[tuple[int, float], ...]:
    """Indices and values of the n largest that are possible, the largest first."""
    if not n:
        return ()
    ids = top_k_indices(logs, n)
    ids = ids[np.argsort(-logs[ids], kind="stable")]
    return tuple((int(i), float(logs[i])) for i in ids if logs[i] > -math.inf)
