"""Infillings that were finished lately: whoever types along with one gets its rest, not a new one.

The rest is the earlier answer's, without a step of the model. Computed anew it would mostly be the
same, as a greedy answer is fixed by the tokens before it, but not always: typed text is cut into
tokens of its own, which counts where it ends inside one, and a window may move a step.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from halfbyte.generation.completion import Infilling, Stats
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer import Tokenizer

MOST = 16


@dataclass(frozen=True, slots=True)
class _Finished:
    key: Hashable
    done: Infilling


class RecentInfillings:
    """The last ones of a model, MOST of them; used by any thread."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._finished: tuple[_Finished, ...] = ()  # replaced, never changed: it needs no lock

    def remember(self, key: Hashable, done: Infilling) -> None:
        """An answer to a request of which `key` is everything but the prefix."""
        if done.finish_reason in ("stop", "length") and done.text:
            self._finished = (_Finished(key, done), *self._finished[: MOST - 1])

    def rest(self, key: Hashable, prefix: str, n_prompt: int) -> Infilling | None:
        """What is left of an answer whose beginning was typed; None where there is none.

        An answer that was cut at its length serves up to its middle.
        """
        for finished in self._finished:
            done = finished.done
            n = len(prefix) - len(done.prefix)
            n_most = len(done.text) // 2 if done.finish_reason == "length" else len(done.text) - 1
            if (
                0 < n <= n_most
                and finished.key == key
                and prefix.endswith(done.text[:n])
                and prefix.startswith(done.prefix)
            ):
                return self._after(done, n, prefix, n_prompt)
        return None

    def _after(self, done: Infilling, n: int, prefix: str, n_prompt: int) -> Infilling:
        n_nbytes = len((done.healed + done.text[:n]).encode())
        tokens = list(done.tokens)
        while tokens and len(self._tokenizer.token_bytes(tokens[0])) <= n_nbytes:
            n_nbytes -= len(self._tokenizer.token_bytes(tokens.pop(0)))
        typed = self._tokenizer.token_bytes(tokens[0])[:n_nbytes] if tokens else b""
        return replace(
            done, prefix=prefix, text=done.text[n:], n_typed=n, tokens=tokens,
            healed=typed.decode(errors="replace"),
            stats=Stats(n_prompt, 0.0, 0, 0.0, n_reused=n_prompt),
        )  # fmt: skip
