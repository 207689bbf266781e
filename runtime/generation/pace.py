"""How long steps take, learned from those that were: how much of a prompt fits beside answers."""

from __future__ import annotations

from collections import deque

BESIDE_S = 0.050  # a step beside answers takes at most so long,
BESIDE_STEPS = 3.0  # or so many steps that only decode, whichever is longer
_FIRST_TOKENS = 32  # of a prompt, as long as nothing is known
_N_KEPT = 7  # times, whose median counts: one that was slow by chance does not
_GUESSING_SHARE = 0.1  # of a step that prompts share with answers of others
_TILE = 8  # tokens that the matrix kernels take together


class Pace:
    """Seconds of a step without prompts, and of each token of a prompt."""

    def __init__(self) -> None:
        self._decode, self._token = _Recent(), _Recent()

    def learn(self, n_decoded: int, n_prompt: int, seconds: float) -> None:
        """A step has taken so long, with answers' and prompts' tokens in it.

        Where prompts get a few tokens only, or are in every step, what is known too high would stay
        so; then the step's time still says how high it can be at most.
        """
        if not n_prompt:
            self._decode.learn(seconds)
            return
        if n_decoded and seconds < self._decode.seconds:
            self._decode.learn(seconds)
        token_s = (seconds - (self._decode.seconds if n_decoded else 0.0)) / n_prompt
        if token_s > 0 and (n_prompt >= _TILE or token_s < self._token.seconds):
            self._token.learn(token_s)

    @property
    def beside_s(self) -> float:
        """Seconds that a step beside answers may take."""
        return max(BESIDE_STEPS * self._decode.seconds, BESIDE_S)

    def guessing_s(self, *, has_prompts: bool) -> float:
        """Seconds that guesses may take more of such a step."""
        if has_prompts:
            return _GUESSING_SHARE * self.beside_s
        return self.beside_s - self._decode.seconds

    def n_beside(self, guessing_s: float = 0.0) -> int:
        """How many tokens of prompts fit in a step beside answers and guesses, 1 at least."""
        if not self._token.seconds:
            return _FIRST_TOKENS
        seconds = self.beside_s - self._decode.seconds - guessing_s
        n = int(seconds / self._token.seconds)
        return max(n if n < _TILE else n // _TILE * _TILE, 1)


class _Recent:
    """The median of the last few times; 0 as long as there are none."""

    def __init__(self) -> None:
        self._kept: deque[float] = deque(maxlen=_N_KEPT)
        self.seconds = 0.0

    def learn(self, seconds: float) -> None:
        """The newest one."""
        self._kept.append(seconds)
        self.seconds = sorted(self._kept)[(len(self._kept) - 1) // 2]
