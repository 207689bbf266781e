"""Requests that are made together, and what their caller gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from halfbyte.errors import RequestError
from halfbyte.generation.candidates import Candidates
from halfbyte.generation.completion import FinishReason
from halfbyte.generation.request import Request
from halfbyte.generation.terms import Terms
from halfbyte.generation.text_request import TextRequest
from halfbyte.lazy_dataclass import dataclass
from halfbyte.progress import Progress

if TYPE_CHECKING:
    from halfbyte.generation.beams.beam_request import BeamRequest


@dataclass(frozen=True, slots=True)
class Plan:
    """Requests that are made together; `is_list` says whether the caller gets a list.

    Each prompt has as many requests as `candidates` counts.
    """

    requests: Sequence[TextRequest | BeamRequest]
    terms: Terms
    progress: Progress
    is_list: bool = False
    candidates: Candidates = field(default_factory=Candidates)

    def result(self, cut_by: FinishReason | None = None) -> Any:
        """What the caller gets of the requests; of those cut short, what there is.

        Raises:
            ToolCallError: it is one answer, with a call that cannot be read.
        """
        results, n = [request.result(cut_by) for request in self.requests], self.candidates.count
        groups = [results[i : i + n] for i in range(0, len(results), n)]
        chosen = [self.candidates.chosen(group) for group in groups]
        if self.candidates.n is None and cut_by is None:
            for one in chosen:
                one.check_calls()
        return chosen if self.is_list else chosen[0]

    def check_streamed(self) -> None:
        """RequestError where there are no answers that come as they grow, each with a number."""
        if self.is_list and self.candidates.n is None:
            expected, hint = "one prompt to stream", "n=1 streams those of several"
            raise RequestError("prompt", expected=expected, got="a list of prompts", hint=hint)
        self.candidates.check_drawn("a stream", "whose best answer is known at its end")
        self.candidates.check_unranked("a stream", "which would be known at its end")

    def decoded(self) -> Callable[[Request], tuple[int, int]]:
        """What counts tokens, told of a request that has some more.

        It says how many are decoded of all requests, and most that can be; a finished request
        counts as whole.
        """
        counted: dict[Request, int] = dict.fromkeys(self.requests, 0)
        n_done, n_most = 0, sum(request.n_max for request in self.requests)

        def count(request: Request) -> tuple[int, int]:
            nonlocal n_done
            answer: Any = request  # one of ours
            n = answer.n_max if request.finish_reason else min(answer.n_generated, answer.n_max)
            n_done, counted[request] = n_done + n - counted[request], n
            return n_done, n_most

        return count
