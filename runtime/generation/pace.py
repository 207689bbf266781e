"""How long steps take, learned from those that were: how much of a prompt fits beside answers."""

from __future__ import annotations

from collections import deque

BESIDE_S = 0.050  # a step beside answers takes at most so long,
BESIDE_STEPS = 3.0  # or so many steps that only decode, whichever is longer
_FIRST_TOKENS = 32  # of a prompt, as long as nothing is known
_N_KEPT = 7  # times, whose median counts: one that was slow by chance does not
_GUESSING_SHARE = 0.1  # of a step that prompts share with answers of others
_N_TELLING = 8  # tokens of a prompt: what fewer take says little of what each does
_TILE = 4  # rows that the matrix kernels take together: the last ones take as long as so many
_N_TILED = 4 * _TILE  # of fewer, those that fill no tile are worth more than they cost
_LOOK_AGAIN = 64  # steps beside prompts, after which one without tells what it takes


class Pace:
    """Seconds of a step without prompts, by its rows, and of each token of a prompt."""

    def __init__(self) -> None:
        self._decode, self._token = _ByRows(), _Recent()

    def learn(self, n_decoded: int, n_prompt: int, seconds: float) -> None:
        """A step has taken so long, with answers' and prompts' tokens in it.

        Where prompts get a few tokens only, or are in every step, what is known too high would stay
        so; then the step's time still says how high it can be at most.
        """
        if not n_prompt:
            self._decode.learn(n_decoded, seconds)
            return
        decode_s = self._decode.seconds(n_decoded) if n_decoded else 0.0
        if seconds < decode_s:
            self._decode.learn(n_decoded, seconds)
        token_s = (seconds - decode_s) / n_prompt
        if token_s > 0 and (n_prompt >= _N_TELLING or token_s < self._token.seconds):
            self._token.learn(token_s)

    def beside_s(self, n_rows: int) -> float:
        """Seconds that a step beside so many rows of answers may take."""
        return max(BESIDE_STEPS * self._decode.seconds(n_rows), BESIDE_S)

    def guessing_s(self, n_rows: int, *, has_prompts: bool) -> float:
        """Seconds that guesses may take more of such a step."""
        if has_prompts:
            return _GUESSING_SHARE * self.beside_s(n_rows)
        return self.beside_s(n_rows) - self._decode.seconds(n_rows)

    def n_beside(self, n_rows: int, guessing_s: float = 0.0, n_guesses: int = 0) -> int:
        """How many tokens of prompts fit in a step beside so many rows of answers, and guesses.

        With them the kernels' last tile of rows is full. 1 at least, but for a step now and then:
        where there are always prompts, nothing else would tell what a step without them takes.
        """
        if n_rows and self._decode.is_due(n_rows):
            return 0
        if not self._token.seconds:
            return _FIRST_TOKENS
        seconds = self.beside_s(n_rows) - self._decode.seconds(n_rows) - guessing_s
        n = int(seconds / self._token.seconds)
        n_over = (n_rows + n_guesses + n) % _TILE
        return max(n if n < _N_TILED else n - n_over, 1)


class _ByRows:
    """Times of steps by their rows: of 1, 2 to 3, 4 to 7 and so on."""

    def __init__(self) -> None:
        self._times: dict[int, _Recent] = {}
        self._n_since: dict[int, int] = {}  # steps beside prompts

    def learn(self, n_rows: int, seconds: float) -> None:
        size = n_rows.bit_length()
        self._times.setdefault(size, _Recent()).learn(seconds)
        self._n_since[size] = 0

    def seconds(self, n_rows: int) -> float:
        """Of so many rows, or of the next number that is known; 0 where none is."""
        size = n_rows.bit_length()
        nearest = min(self._times, key=lambda known: abs(known - size), default=None)
        return 0.0 if nearest is None else self._times[nearest].seconds

    def is_due(self, n_rows: int) -> bool:
        """Whether it is time to look again what so many rows take; counts the steps."""
        size = n_rows.bit_length()
        n = self._n_since.get(size, _LOOK_AGAIN)
        self._n_since[size] = n + 1 if n < _LOOK_AGAIN else 0
        return n >= _LOOK_AGAIN


class _Recent:
    """The median of the last few times; 0 as long as there are none."""

    def __init__(self) -> None:
        self._kept: deque[float] = deque(maxlen=_N_KEPT)
        self.seconds = 0.0

    def learn(self, seconds: float) -> None:
        """The newest one."""
        self._kept.append(seconds)
        self.seconds = sorted(self._kept)[(len(self._kept) - 1) // 2]
