"""How many answers a caller wants to one prompt, and which of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from halfbyte.call_arguments import is_whole, literal
from halfbyte.errors import RequestError
from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.confidence import Confidence
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.recorder import Recording
from halfbyte.generation.shared_prompt import SharedPrompt
from halfbyte.generation.text_request import TextRequest
from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)

MAX_CANDIDATES = 128  # of a prompt: more are drawn by more calls
_NAMES = ("n", "best_of")


@dataclass(frozen=True, slots=True)
class Candidates:
    """Checked when made; see docs/candidates.md.

    Attributes:
        n: how many the caller gets, in a list; None for one answer, which is no list.
        best_of: how many are drawn, of which the caller gets those with the highest mean
            log-probability a token, the best first; None draws n.
        beams: how they are looked for, if not drawn.

    Raises:
        RequestError: a value of the wrong type or out of range; `param` names it.
    """

    n: int | None = None
    best_of: int | None = None
    beams: Beams = field(default_factory=Beams)

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[Candidates, dict[str, Any]]:
        """The candidates among a call's options, and the other options."""
        beams, rest = Beams.split(options)
        return cls(**{name: rest.pop(name) for name in _NAMES if name in rest}, beams=beams), rest

    def __post_init__(self) -> None:
        for name in _NAMES:
            value: object = getattr(self, name)
            if value is not None:
                least = self.n or 1 if name == "best_of" else 1
                if not is_whole(value) or not least <= value <= MAX_CANDIDATES:
                    expected = f"a whole number from {least} to {MAX_CANDIDATES}, or None"
                    hint = "best_of counts all that are drawn" if name == "best_of" else ""
                    raise RequestError(name, expected=expected, got=literal(value), hint=hint)
                object.__setattr__(self, name, int(value))
        if self.beams.are_wanted:
            if self.best_of is not None:
                raise RequestError("best_of", expected="left out with num_beams", got=self.best_of)
            if (self.n or 1) > self.beams.num_beams:
                expected = f"at most num_beams, {self.beams.num_beams}"
                raise RequestError("n", expected=expected, got=self.n)

    @property
    def count(self) -> int:
        """How many requests there are for a prompt: a beam search is one."""
        if self.beams.are_wanted:
            return 1
        return self.best_of or self.n or 1

    @property
    def are_ranked(self) -> bool:
        """Whether they are compared."""
        return self.best_of is not None

    def check_single(self, what: str) -> None:
        """RequestError where more is asked of `what` than the one answer that it gives."""
        if self.n is not None:
            raise RequestError("n", expected=f"left out: {what} gives one answer", got=self.n)
        self.check_drawn(what, "an edit is one answer")
        self.check_unranked(what, "an edit is one answer")

    def check_unranked(self, what: str, why: str) -> None:
        """RequestError where the best of several is asked for, which `what` has not, and why."""
        if self.are_ranked:
            expected = f"left out: {what} has no best of several, {why}"
            raise RequestError("best_of", expected=expected, got=self.best_of)

    def check_drawn(self, what: str, why: str) -> None:
        """RequestError where beams are asked for, which `what` does not have, and why not."""
        if self.beams.are_wanted:
            expected = f"1, or left out: {what} has no beam search, {why}"
            raise RequestError("num_beams", expected=expected, got=self.beams.num_beams)

    def chosen(self, answers: Sequence[Any]) -> Any:
        """What the caller gets of all answers to a prompt, each with a `score` if they are ranked.

        Of answers that are alike good, the first drawn comes first; those with a call that cannot
        be read come last.
        """
        if self.beams.are_wanted:
            (answers,) = answers
        if self.are_ranked:
            answers = sorted(
                answers, key=lambda a: (getattr(a, "tool_error", None) is not None, -a.score)
            )
        return answers[0] if self.n is None else list(answers[: self.n])


def candidates_of(
    wanted: Candidates,
    sampling: SamplingParams,
    recording: Recording | None,
    make: Callable[[SamplingParams, dict[str, Any]], TextRequest],
) -> list[TextRequest]:
    """The answers to one prompt, which they share; `make` makes one, with arguments of its own.

    Candidate 0 is the answer that is given alone.
    """
    if wanted.count > 1:
        sampling = sampling.seeded()
        if sampling.is_greedy:
            log.warning("at temperature 0 all %d candidates are alike", wanted.count)
    requests = []
    for j in range(wanted.count):
        confidence = Confidence() if wanted.are_ranked else None
        if confidence is not None:
            confidence.is_ranking = True
        how: dict[str, Any] = {"recording": recording, "confidence": confidence}
        requests.append(make(sampling.of_candidate(j), how))
    n_shared = requests[0].n_prompt - 1  # the last token gives each its logits
    if wanted.count > 1 and n_shared:
        SharedPrompt(n_shared, requests)
    return requests
