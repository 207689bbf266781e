"""Whether guesses are worth their rows: drafts for the answers that share a step.

A drafted id that turns out right spares a step; one that does not has cost a row. From how often
such guesses were right lately, and from what steps of so many rows take in this model, the length
is chosen that gives the most tokens a second; none, where that is more.
"""

from __future__ import annotations

from dataclasses import replace

from halfbyte.engine.engine import Span
from halfbyte.engine.stage_words import Words
from halfbyte.errors import EngineError
from halfbyte.generation.continuation import Continuation
from halfbyte.generation.request import Request
from halfbyte.generation.speculation.asking import Asked, Asking
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.generation.speculation.drafter import Draft
from halfbyte.generation.speculation.ngram_index import N_LEAST
from halfbyte.generation.speculation.planned import N_ROWS, Planned
from halfbyte.generation.speculation.pool import Pools
from halfbyte.generation.speculation.step_costs import StepCosts

Parts = list[tuple[Request, list[Span]]]  # of a step, by request


class Speculation:
    """One model's, for the thread that runs its steps.

    Args:
        model: the draft model, if there is one.
        expert_share: of a step of one row, see StepCosts.
    """

    def __init__(self, model: DraftModel | None = None, expert_share: float = 0.0) -> None:
        self._costs, self._pools = StepCosts(expert_share), Pools()
        self._asking = Asking(model) if model is not None else None

    def use(self, model: DraftModel) -> None:
        """Ask another draft model from now on."""
        self.give_back()
        self._asking = Asking(model)

    def extend(self, parts: Parts, room: int, extra_s: float, abort: Words) -> tuple[int, float]:
        """Put drafts into a step of answers, in the room that is left.

        Args:
            parts: the step so far.
            room: rows that it may have more.
            extra_s: seconds that guesses and their rows may take.
            abort: as for `Engine.forward`, for the draft model's steps.

        Returns:
            how many ids the drafts have, and the seconds that all of it takes.
        """
        if not self._costs.is_known:
            return 0, 0.0
        n_rows = sum(len(span.tokens) for _, spans in parts for span in spans)
        room = min(room, N_ROWS[-1])
        step = Planned(self._costs, n_rows, float(len(parts)), room, extra_s)
        texts = self._from_texts(parts, step.room)
        models = self._from_model(parts, texts, step, abort)
        for i, draft in texts.items():
            request, spans = parts[i]
            assert isinstance(request, Continuation)
            longer = self._with_draft(request, spans[0], draft, models.get(request), step)
            parts[i] = request, [longer]
        return step.n_rows - n_rows, step.spent_s + step.plain_s - self._costs.seconds(n_rows)

    def learn(self, n_rows: int, n_prompt: int, seconds: float) -> None:
        """A step of so many rows has taken so long, n_prompt of them of prompts."""
        if not n_prompt:
            self._costs.learn(n_rows, seconds)
        elif n_prompt == n_rows and n_rows >= N_ROWS[-1]:
            self._costs.learn_prompt(n_rows, seconds)

    def see(self, parts: Parts) -> None:
        """A step of these has run, and its states are there for a layer that guesses from them."""
        if self._asking is not None:
            self._asking.see(parts)

    def keep_up(self, abort: Words) -> None:
        """Have that layer read what it has to see of prompts, behind a step."""
        if self._asking is not None:
            self._asking.keep_up(abort)

    def remember(self, request: Request) -> None:
        """An answer is over."""
        if isinstance(request, Continuation) and request.drafter and request.n_generated:
            # With the prompt's end, after which the same may be said.
            begin = max(request.n_prompt - N_LEAST, 0)
            self._pools.of(request.scope).add(request.ids[begin:])
        self.leave(request)

    def leave(self, request: Request) -> None:
        """A request runs no more, or waits."""
        if self._asking is not None and isinstance(request, Continuation):
            self._asking.end(request)

    def give_back(self) -> bool:
        """Free what the draft model holds; whether there was anything."""
        return self._asking is not None and self._asking.give_back()

    def _from_texts(self, parts: Parts, room: int) -> dict[int, Draft]:
        """What texts have to say on each part for which guesses can be verified."""
        drafts: dict[int, Draft] = {}
        for i, (request, spans) in enumerate(parts):
            if not isinstance(request, Continuation) or request.drafter is None:
                continue
            n_most = min(request.n_draftable(spans), room)
            if n_most > 0:
                request.drafter.credit.settle(request.n_accepted)
                draft = request.draft(n_most, self._pools.of(request.scope))
                drafts[i] = draft or Draft([], [])
        return drafts

    def _from_model(
        self, parts: Parts, texts: dict[int, Draft], step: Planned, abort: Words
    ) -> dict[Continuation, Draft]:
        """What the draft model has."""
        if self._asking is None:
            return {}
        asked: list[Asked] = []
        for i, draft in texts.items():
            request, spans = parts[i]
            assert isinstance(request, Continuation)
            chance = draft.chances[0] if draft.chances else 0.0
            asked.append(Asked(request, request.n_draftable(spans), chance))
        return self._asking.drafts(asked, step, abort)

    def _with_draft(
        self, request: Continuation, span: Span, text: Draft, model: Draft | None, step: Planned
    ) -> Span:
        """The span with the better of two drafts, where one pays."""
        assert request.drafter is not None
        credit, plain_s = request.drafter.credit, step.plain_s
        most_s = credit.n_steps * plain_s
        n, n_expected = step.best_length(text.chances, most_s)
        ids = text.ids
        if model is not None:
            model = model.first(request.n_possible(model.ids))
            of_model = step.best_length(model.chances, most_s)
            if of_model[1] > n_expected:
                (n, n_expected), ids = of_model, model.ids
        if not n:
            return span
        longer = replace(span, tokens=[*span.tokens, *ids[:n]], n_out=1 + n, n_guessed=n)
        try:
            longer.reserve()
        except EngineError:  # nobody gives up memory for a guess
            return span
        request.drafted = ids[:n]
        n_steps = step.more_s(n) / plain_s
        credit.pay(n_steps)
        if model is not None and ids is model.ids and self._asking is not None:
            self._asking.try_out(request, n, n_steps)
        step.add(n, n_expected)
        return longer
