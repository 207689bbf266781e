"""When an answer is done: end tokens, texts, time, and a caller's `stopping_criteria`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from halfbyte.call_arguments import literal
from halfbyte.errors import RequestError
from halfbyte.generation.sampler import F32, I64
from halfbyte.hf import array_kinds
from halfbyte.hf.generation_config import GenerationConfig
from halfbyte.hf.processors.callers_own import named
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer import Tokenizer

NAME = "stopping_criteria"


@dataclass(frozen=True, slots=True)
class Endings:
    """What ends an answer with the token that was said last; the same for all answers of a call.

    Attributes:
        tokenizer: whose tokens they are.
        end_ids: tokens that end it.
        stops: texts that end it, with the token that completes one; they may begin in the prompt.
        deadline_s: when its time is over, by time.monotonic(); one token always comes.
        criteria: functions of (input_ids, scores) that say whether it is done.
    """

    tokenizer: Tokenizer
    end_ids: frozenset[int]
    stops: tuple[bytes, ...] = ()
    deadline_s: float | None = None
    criteria: tuple[Any, ...] = ()

    @classmethod
    def of(cls, config: GenerationConfig, tokenizer: Tokenizer) -> Endings:
        """What a configuration asks for; its time begins now."""
        stated = config.stop_strings or ()
        texts = [stated] if isinstance(stated, str) else stated
        deadline_s = None if config.max_time is None else time.monotonic() + config.max_time
        criteria = tuple(config.stopping_criteria or ())
        stops = tuple(text.encode() for text in texts)
        return cls(tokenizer, frozenset(config.end_ids), stops, deadline_s, criteria)

    @property
    def looks_at_more(self) -> bool:
        """Whether anything but the last token counts."""
        return bool(self.stops or self.criteria) or self.deadline_s is not None

    def reached(self, said: Sequence[int]) -> bool:
        """Whether prompt and answer end here, whatever the criteria say."""
        return (
            said[-1] in self.end_ids
            or (bool(self.stops) and self._completes_stop(said))
            or (self.deadline_s is not None and time.monotonic() >= self.deadline_s)
        )

    def met(self, ids: I64, scores: Sequence[F32] | None) -> bool:
        """Whether a criterion says so, of the prompt with its padding and the answer.

        All of them are asked, as some count.

        Raises:
            RequestError: one gives something else than True or False, or an array of one.
            Exception: whatever one raises.
        """
        if not self.criteria:
            return False
        kept = None if scores is None else tuple(array_kinds.given(row)[None] for row in scores)
        return any([self._asked(i, ids, kept) for i in range(len(self.criteria))])

    def _asked(self, i: int, ids: I64, scores: tuple[Any, ...] | None) -> bool:
        name = f"{NAME}[{i}]" if len(self.criteria) > 1 else NAME
        with named(name, self.criteria[i]), array_kinds.without_gradients():
            made = self.criteria[i](array_kinds.given(ids.copy())[None], scores)
        value = array_kinds.taken(made)
        if isinstance(value, (bool, np.bool_)):
            return bool(value)
        if not any(array_kinds.is_array(value, shape, "b") for shape in ((), (1,))):
            got = tuple(made.shape) if hasattr(made, "shape") else literal(made)
            raise RequestError(name, expected="True or False, or an array of one of them", got=got)
        return bool(value.reshape(())[()])

    def _completes_stop(self, said: Sequence[int]) -> bool:
        """Whether a stop ends within the last token's text."""
        token_bytes, longest = self.tokenizer.token_bytes, max(map(len, self.stops))
        last = token_bytes(said[-1])
        before = b""
        for token in reversed(said[:-1]):
            if len(before) >= longest - 1:
                break
            before = token_bytes(token) + before
        text, n = before + last, len(before)
        return any(text.find(stop, max(n - len(stop) + 1, 0)) >= 0 for stop in self.stops)
