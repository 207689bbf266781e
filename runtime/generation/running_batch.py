"""What runs together: which requests share the next step, and how much of each.

A step has the tokens of every answer on its way, and what is left of it is filled with prompts,
the next in line first. Beside answers of others a step stays short (pace.py); alone, prompts get
full steps. Who shares a step changes nothing in what comes of it. Guesses of answers go before
prompts, where they pay (speculation/).

At most MAX_RUNNING requests run. Where more callers wait for a place, answers run in slices
(slices.py). A request holds memory from its first step to its end. Where there is none left, the
one that stands last in line gives up what it has, and is computed again, with the same bits.
Nothing here knows of threads: the scheduler calls, always from the same one; others may `give_up`.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.engine import Engine, StepAborted
from halfbyte.engine.memory import needed_for
from halfbyte.errors import EngineError
from halfbyte.generation import slices
from halfbyte.generation.disk_reading import is_loaded
from halfbyte.generation.line import Line
from halfbyte.generation.pace import Pace
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.request import Request
from halfbyte.generation.sampler import F32
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.generation.speculation.speculation import Speculation
from halfbyte.generation.step import Step, give

MAX_RUNNING = 32  # requests at a time


class RunningBatch:
    """The requests of one engine: in line, and running.

    Args:
        engine: what computes.
        memory: what is remembered of prompts.
        draft: the model that guesses, if there is one.

    Attributes:
        current, speculation: the step that is computed, and what guesses.
    """

    def __init__(
        self, engine: Engine, memory: PromptMemory, draft: DraftModel | None = None
    ) -> None:
        self.current = Step()
        self._engine, self._memory, self._line, self._pace = engine, memory, Line(), Pace()
        self.speculation = Speculation(draft, engine.expert_share)
        self._running: list[Request] = []
        self._is_stopping = self._has_unwanted = False

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._running or len(self._line))

    def add(self, request: Request) -> None:
        """A new one."""
        request.clock.submitted_s = time.perf_counter()
        shared = request.shared
        if shared is None or not request.needs_work or not shared.holds_back(request):
            self._enter(request)

    def give_up(self) -> None:
        """Some were cancelled: they end soon, and the step where it is theirs; from any thread."""
        self._has_unwanted = True
        self.current.abort_if_unwanted()

    def drop_unwanted(self) -> None:
        """End what was cancelled."""
        self._has_unwanted = False  # before looking: whoever cancels says so afterwards
        for request in self._line.remove_unwanted():
            self._end(request)
        self._drop_running()

    def _drop_running(self) -> None:
        for request in [r for r in self._running if not r.needs_work]:
            self._end(request)

    def stop(self) -> None:
        """Compute nothing more; from any thread."""
        self._is_stopping = True
        self.current.abort[0] = 1

    def fail(self, error: BaseException) -> None:
        """End everything with an error."""
        while not self.is_idle:  # who waits for another to begin comes into line by its end
            waiting = [self._line.leave() for _ in range(len(self._line))]
            for request in [*waiting, *self._running]:
                self._end(request, error)

    def step(self) -> None:
        """Compute one step, and tell whoever waits for what came of it."""
        if self._has_unwanted:  # a long line is looked through only then
            self.drop_unwanted()
        self._drop_running()
        step = Step()
        try:
            with needed_for("choosing what runs next"):
                self._give_way()
                self._plan(step)
        except EngineError as error:
            self._do_without(step, error)
            return
        if not (step.is_unwanted or self._is_stopping):
            self._run(step)
        self.current = Step()

    def _do_without(self, step: Step, error: EngineError) -> None:
        """There was no memory to plan a step: the next one has more, or fewer requests."""
        self.current = Step()
        self._give_back(step)
        if self._memory.find_pages(error):
            return
        planned = [request for request, _ in step.parts if request in self._running]
        first = [] if self._line.first is None else [self._line.first]
        for request in planned or self._running[-1:] or [self._line.leave(r) for r in first]:
            self._end(request, error)

    def _run(self, step: Step) -> None:
        begin_s = time.perf_counter()
        for request, _ in step.parts:
            request.clock.begun_s = request.clock.begun_s or begin_s
        try:
            with needed_for("running a step"):
                rows = step.run(self._engine)
                self._learn(step, time.perf_counter() - begin_s)
                self.speculation.see(step.parts)
                self._deal(step, rows)
            self.speculation.keep_up(step.abort)
        except StepAborted:
            return
        except EngineError as error:
            for request in [r for r, _ in step.parts if r in self._running]:
                self._end(request, error)

    def _learn(self, step: Step, seconds: float) -> None:
        n_tokens = step.n_tokens
        if step.n_prompt or not step.n_drafted:  # beside a prompt, a guess costs what its rows do
            n_more = step.n_prompt + step.n_drafted
            self._pace.learn(n_tokens - n_more, n_more, seconds)
        self.speculation.learn(n_tokens, step.n_prompt, seconds)
        if step.n_prompt:
            self._line.go_on(step.n_prompt)

    def _deal(self, step: Step, rows_of: list[F32]) -> None:
        """Give the rows to those who asked for them; then have their callers look."""
        for (request, spans), rows in zip(step.parts, rows_of, strict=True):
            was_answering = request.is_answering
            request.n_due = max(request.n_due - sum(len(span.tokens) for span in spans), 0)
            if not request.is_cancelled:
                give(request, rows)
            if request.shared is not None:
                self._enter(*self._memory.share(request, request.shared))
            if request.needs_work:
                if request.is_answering and not was_answering:
                    self._line.settle(request)
                    self._memory.keep(request, is_likely=True)  # who comes meanwhile needs it
                else:
                    self._memory.keep_on_the_way(request)
                if request.sequence is None:  # it could not be cut back
                    self._preempt(request)
                request.call.tell(request)
            else:
                self._end(request)
        for call in {request.call for request, _ in step.parts if not request.is_over}:
            call.ring()

    def _enter(self, *requests: Request) -> None:
        """Have them stand in line, but for those that are over."""
        for request in requests:
            if not request.needs_work:
                self._end(request)
                continue
            try:
                with needed_for("looking for what is known of a prompt"):
                    self._line.enter(request, self._memory.n_known(request))
            except EngineError as error:
                self._end(request, error)

    def _plan(self, step: Step) -> None:
        """Answers first and what is guessed of them, then prompts in line."""
        room = MAX_BATCH
        by_tag = sorted(self._running, key=lambda r: r.tag)
        begun = [r for r in by_tag if not r.is_urgent]  # before an answer ends for want of memory
        for request in [r for r in by_tag if r.is_urgent]:
            room -= self._include(step, request, room)
        self.current = step  # from here on, whoever cancels may abort it
        begun = [r for r in begun if not r.is_over]
        guessing_s = self._guess(step, room, begun)
        if begun or len(self._line):
            self._plan_prompts(step, room - step.n_drafted, begun, guessing_s)

    def _plan_prompts(self, step: Step, room: int, begun: list[Request], guessing_s: float) -> None:
        """Fill a step up with prompts, those in line after those that have begun."""
        n_rows = MAX_BATCH - room - step.n_drafted
        n_most = self._pace.n_beside(n_rows, guessing_s, step.n_drafted)
        calls = {request.call for request, _ in step.parts}
        for request in self._next_prompts(begun):
            # Whoever waits for a list of answers waits for the last of them.
            if calls - {request.call}:
                room = min(room, n_most - step.n_prompt)
            n = self._include(step, request, room)
            room -= n
            step.n_prompt += n
            if room <= 0 or not (n or request.is_over):
                break

    def _guess(self, step: Step, room: int, prompts: list[Request]) -> float:
        """Guess what answers say next, before prompts that run or wait; how many seconds it takes.

        Beside others it is bounded, and least where prompts will fill the step.
        """
        is_asked_for = any(request.is_guessed for request, _ in step.parts)
        if not is_asked_for or step.is_unwanted or self._is_stopping:
            return 0.0
        waiting = [] if self._line.first is None else [self._line.first]
        calls = {request.call for request in (*prompts, *waiting, *(r for r, _ in step.parts))}
        beside_s = self._pace.guessing_s(MAX_BATCH - room, has_prompts=bool(prompts or waiting))
        most_s = beside_s if len(calls) > 1 else math.inf
        try:
            with needed_for("guessing"):
                extend = self.speculation.extend
                step.n_drafted, seconds = extend(step.parts, room, most_s, step.abort)
        except EngineError:  # nobody gives up memory for a guess
            self._give_back(step)
            return 0.0
        return seconds

    def _next_prompts(self, begun: list[Request]) -> Iterator[Request]:
        """Those that run or wait (some have lost their memory in this step), by their tags."""
        while (begun := [r for r in begun if r in self._running]) or len(self._line):
            first = self._line.first
            if first is None or (begun and begun[0].tag < first.tag):
                yield begun.pop(0)
            elif len(self._running) < MAX_RUNNING:
                if not self._begin(first):
                    yield from (r for r in begun if r in self._running)
                    return
                if not first.is_over:
                    yield first
            elif begun:
                yield begun.pop(0)
            else:
                return

    def _begin(self, request: Request) -> bool:
        """Have one run who stood in line; False where the disk still brings what is known of it."""
        if request.sequence is None and not is_loaded(request, self._memory):
            return False
        self._running.append(self._line.leave(request))
        try:
            if request.sequence is None:
                with needed_for("looking for what is known of a prompt"):
                    self._memory.begin(request)
        except EngineError as error:
            self._end(request, error)
        slices.begin(request)
        return True

    def _give_way(self) -> None:
        """Let callers that have nothing running take places of those that can do without."""
        while len(self._running) >= MAX_RUNNING:
            counts = Counter(request.call for request in self._running)
            leaves = slices.newest_of_several(self._running, counts)
            if leaves is not None:
                waiting = self._line.first_but_of(counts)
            else:
                leaves = slices.most_over(self._running)
                waiting = None if leaves is None else self._line.longest_but_of(counts)
            if leaves is None or waiting is None or not self._begin(waiting):
                return
            self._running.remove(leaves)
            self._line.put_back(leaves)  # with all that is computed of it

    def _include(self, step: Step, request: Request, room: int) -> int:
        """Put a request's next tokens into a step; how many there are."""
        n = min(request.n_wanted, room)
        while request.sequence is not None and n > 0:
            try:
                with needed_for("planning a step"):
                    spans = request.spans(n)
                    for span in spans:
                        span.reserve()
            except EngineError as error:
                if not (self._give_back(step) or self._memory.find_pages(error)):
                    self._make_room(step, request, error)
                continue
            if spans:
                step.parts.append((request, spans))
            return sum(len(span.tokens) for span in spans)
        return 0

    def _give_back(self, step: Step) -> bool:
        """Free what was taken for guesses; whether there was anything."""
        had_some = step.drop_guesses()
        return self.speculation.give_back() or had_some

    def _make_room(self, step: Step, request: Request, error: EngineError) -> None:
        """Take memory from who stands last in line; nobody is left before the request fails."""
        if (waits := self._line.last_with_memory()) is not None:
            self._lose_memory(waits)
            return
        taken = {id(r) for r, _ in step.parts}
        behind = [r for r in self._running if r.tag >= request.tag and id(r) not in taken]
        last = max(behind, key=lambda r: r.tag)
        if last is request and len(self._running) == 1:
            self._end(request, error)
        else:
            self._preempt(last)

    def _preempt(self, request: Request) -> None:
        self._lose_memory(request)
        self._running.remove(request)
        self._line.put_back(request)

    def _lose_memory(self, request: Request) -> None:
        self._memory.keep(request)
        self.speculation.leave(request)
        request.sequence = None

    def _end(self, request: Request, error: BaseException | None = None) -> None:
        if error is not None:
            request.fail(error)
        call = request.call
        if request in self._running:
            self._running.remove(request)
        self._line.settle(request)
        if self.is_idle:
            self._line.rest()
        try:
            self._memory.keep(request)
            self.speculation.remember(request)
            call.tell(request)  # how far it came
        finally:
            request.sequence = None
            del request.call  # no circle: what came of it may be large
            request.is_over = True
            call.tell(request)
            call.ring()
            if request.shared is not None:
                self._enter(*request.shared.leave(request))
