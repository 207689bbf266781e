"""What is recorded of one request's probabilities: of its prompt's tokens, and of its answer's."""

from __future__ import annotations

from collections.abc import Sequence

from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.generation.recorder import Recorder, Recording, Teller
from halfbyte.generation.sampler import F32, Sampler
from halfbyte.tokenizer import Tokenizer


class Records:
    """Those of one request; nothing where nothing is asked for.

    The prompt's are shared with the other answers to it: the first that computes a row tells it.
    Without a sampler the answer's are somebody else's.

    Attributes:
        of_prompt: whether the prompt's are wanted, and so all of its rows.
        of_answer: whether the answer's are.
        echoed: the text of the prompt, where the result begins with it.
    """

    def __init__(
        self, asked: Recording | None, tokenizer: Tokenizer, sampler: Sampler | None, n_prompt: int
    ) -> None:
        self._asked, self._tokenizer, self._n_prompt = asked, tokenizer, n_prompt
        self._prompt = asked.prompt if asked else None
        is_answers = asked is not None and asked.asked.logprobs is not None
        self._answer = Recorder(asked.asked, sampler) if asked and sampler and is_answers else None
        self.of_prompt, self.of_answer = self._prompt is not None, is_answers
        self.echoed = (asked.echoed if asked else None) or ""
        self._teller: Teller | None = None

    @property
    def want_prompt(self) -> bool:
        """Whether rows of the prompt are wanted still."""
        return self._prompt is not None and len(self._prompt.taken) < self._n_prompt

    @property
    def want_logits(self) -> bool:
        """Whether any logits are."""
        return self.of_answer or self.want_prompt

    def n_rows(self, begin: int, end: int) -> int:
        """For how many of the last tokens among begin .. end - 1 logits are wanted."""
        if self._prompt is None or not self.want_prompt:
            return 0
        return end - max(begin, len(self._prompt.taken) - 1)

    def take_prompt(self, ids: Sequence[int], n_computed: int, logits: F32) -> F32:
        """Take the rows that tell of the prompt's own tokens; returns the others."""
        assert self._prompt is not None
        first = n_computed - len(logits)
        n_rows = max(self._n_prompt - 1 - first, 0)
        for i, row in enumerate(logits[:n_rows], first):
            if len(self._prompt.taken) == i + 1:
                self._prompt.take(row, ids[i + 1])
        return logits[n_rows:]

    def take(self, row: F32, token: int) -> None:
        """A token was chosen, last by the sampler, from the model's logits."""
        if self._answer is not None:
            self._answer.take(row, token)

    def take_raw(self, row: F32 | None, token: int) -> None:
        """A token was taken that no sampler chose; its row, None where nobody looked at it."""
        if self._answer is not None:
            self._answer.take_raw(row, token)

    def rewind(self, n: int) -> None:
        """Forget the last n tokens."""
        if self._answer is not None:
            self._answer.rewind(n)

    def told_of_prompt(self, prompt: Sequence[int]) -> list[TokenLogprob] | None:
        """What the caller is told of the prompt's tokens."""
        return None if self._asked is None else self._asked.of_prompt(self._tokenizer, prompt)

    def told_of_answer(
        self, prompt: Sequence[int], tokens: Sequence[int], healed: bytes
    ) -> list[TokenLogprob] | None:
        """What the caller is told of the answer's tokens so far, `healed` spelled first."""
        if self._asked is None or self._answer is None:
            return None
        teller = self._teller or self._asked.teller(self._tokenizer, healed)
        self._teller = teller
        return self._asked.of_answer(teller, prompt, tokens, self._answer.taken)
