"""How long steps take, learned from those that were: how much of a prompt fits beside answers."""

from __future__ import annotations

BESIDE_S = 0.050  # a step beside answers takes at most so long,
BESIDE_STEPS = 3.0  # or so many steps that only decode, whichever is longer
_FIRST_TOKENS = 32  # of a prompt, as long as nothing is known
_WEIGHT = 0.3  # of the newest step in what is known
_GUESSING_SHARE = 0.1  # of a step that prompts share with answers of others
_TILE = 8  # tokens that the matrix kernels take together


class Pace:
    """Seconds of a step without prompts, and of each token of a prompt."""

    def __init__(self) -> None:
        self._decode_s = self._token_s = 0.0

    def learn(self, n_decoded: int, n_prompt: int, seconds: float) -> None:
        """A step has taken so long, with answers' and prompts' tokens in it."""
        if not n_prompt:
            self._decode_s = _mean(self._decode_s, seconds)
        elif n_prompt >= _TILE:
            decode_s = self._decode_s if n_decoded else 0.0
            self._token_s = _mean(self._token_s, max(seconds - decode_s, 0.0) / n_prompt)

    @property
    def beside_s(self) -> float:
        """Seconds that a step beside answers may take."""
        return max(BESIDE_STEPS * self._decode_s, BESIDE_S)

    def guessing_s(self, *, has_prompts: bool) -> float:
        """Seconds that guesses may take more of such a step."""
        if has_prompts:
            return _GUESSING_SHARE * self.beside_s
        return self.beside_s - self._decode_s

    def n_beside(self, guessing_s: float = 0.0) -> int:
        """How many tokens of prompts fit in a step beside answers and guesses, 1 at least."""
        if not self._token_s:
            return _FIRST_TOKENS
        seconds = self.beside_s - self._decode_s - guessing_s
        n = int(seconds / self._token_s)
        return max(n if n < _TILE else n // _TILE * _TILE, 1)


def _mean(before: float, newest: float) -> float:
    return before + _WEIGHT * (newest - before) if before else newest
