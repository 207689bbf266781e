"""What runs together: which requests share the next step, and how much of each.

A step has the tokens of every answer on its way, and what is left of it is filled with prompts,
the next in line first. Beside answers of others a step stays short (pace.py); alone, prompts get
full steps. Who shares a step changes nothing in what comes of it. Where no prompts are there to
fill it, answers are tried to be guessed (speculation/).

A request holds memory from its first step to its end. Where there is none left, the one that stands
last in line gives up what it has, and is computed again later, with the same bits.

Nothing here knows of threads: the scheduler calls, always from the same one. Others may cancel a
request and then call `current.abort_if_unwanted`.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.engine import Engine, Span, StepAborted
from halfbyte.engine.memory import needed_for
from halfbyte.errors import EngineError
from halfbyte.generation.line import Line
from halfbyte.generation.pace import Pace
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.request import Request
from halfbyte.generation.sampler import F32
from halfbyte.generation.speculation.speculation import Speculation

MAX_RUNNING = 32  # requests that hold memory at a time
_READING_S = 0.02  # of every step, from the disk


@dataclass(slots=True, eq=False)
class Step:
    """Spans by request, those of answers first.

    Attributes:
        n_prompt: tokens of prompts among them.
        n_drafted: tokens that are guesses.
        abort: a word that the engine looks at meanwhile.
    """

    parts: list[tuple[Request, list[Span]]] = field(default_factory=list)
    n_prompt: int = 0
    n_drafted: int = 0
    abort: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    @property
    def spans(self) -> list[Span]:
        """All of them, in order."""
        return [span for _, spans in self.parts for span in spans]

    @property
    def n_tokens(self) -> int:
        """All tokens."""
        return sum(len(span.tokens) for span in self.spans)

    @property
    def is_unwanted(self) -> bool:
        """Whether all of its requests were cancelled."""
        return all(request.is_cancelled for request, _ in self.parts)

    def abort_if_unwanted(self) -> None:
        """End it early if nobody waits for it any more; from any thread."""
        if self.is_unwanted:
            self.abort[0] = 1


class RunningBatch:
    """The requests of one engine: in line, and running."""

    def __init__(self, engine: Engine, memory: PromptMemory) -> None:
        self.current = Step()
        self._engine, self._memory, self._line, self._pace = engine, memory, Line(), Pace()
        self._speculation = Speculation()
        self._running: list[Request] = []
        self._is_stopping = self._has_unwanted = False

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._running or len(self._line))

    def add(self, request: Request) -> None:
        """A new one."""
        request.clock.submitted_s = time.perf_counter()
        if not request.needs_work:
            self._end(request)
        elif request.shared is None or not request.shared.holds_back(request):
            self._line.enter(request, self._memory.n_known(request))

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
            while len(self._line):
                self._end(self._line.leave(), error)
            for request in list(self._running):
                self._end(request, error)

    def step(self) -> None:
        """Compute one step, and tell whoever waits for what came of it."""
        if self._has_unwanted:  # a long line is looked through only then
            self.drop_unwanted()
        self._drop_running()
        self._give_way()
        step = self._plan()
        self.current = step  # from here on, whoever cancels may abort it
        if not (step.is_unwanted or self._is_stopping):
            self._run(step)
        self.current = Step()

    def _run(self, step: Step) -> None:
        begin_s = time.perf_counter()
        for request, _ in step.parts:
            request.clock.begun_s = request.clock.begun_s or begin_s
        try:
            logits = self._engine.forward(step.spans, step.abort)
        except StepAborted:
            return
        except EngineError as error:
            for request, _ in step.parts:
                self._end(request, error)
            return
        seconds, n_decoded = time.perf_counter() - begin_s, step.n_tokens - step.n_prompt
        if not step.n_drafted:
            self._pace.learn(n_decoded, step.n_prompt, seconds)
        self._speculation.learn(step.n_tokens, step.n_prompt, seconds)
        self._line.go_on(step.n_prompt)
        self._deal(step, logits)

    def _deal(self, step: Step, logits: F32) -> None:
        """Give the rows to those who asked for them."""
        at = 0
        for request, spans in step.parts:
            n_out = sum(span.n_out for span in spans)
            rows, at = logits[at : at + n_out], at + n_out
            was_answering = request.is_answering
            request.n_due = max(request.n_due - sum(len(span.tokens) for span in spans), 0)
            if not request.is_cancelled:
                _take(request, rows)
            self._enter(self._memory.share(request))
            if request.needs_work:
                if request.is_answering and not was_answering:
                    self._line.settle(request)
                    self._memory.keep(request)  # for those who come while it goes on
                request.call.tell(request)
            else:
                self._end(request)

    def _enter(self, requests: Sequence[Request]) -> None:
        """Those that waited for another to begin stand in line, or are over."""
        for request in requests:
            if request.needs_work:
                self._line.enter(request, self._memory.n_known(request))
            else:
                self._end(request)

    def _plan(self) -> Step:
        """Answers first, then prompts in line."""
        step, room = Step(), MAX_BATCH
        by_tag = sorted(self._running, key=lambda request: request.tag)
        begun = [r for r in by_tag if not r.is_urgent]  # before an answer ends for want of memory
        for request in [r for r in by_tag if r.is_urgent]:
            room -= self._include(step, request, room)
        calls = {request.call for request, _ in step.parts}
        for request in self._next_prompts(begun):
            # Whoever waits for a list of answers waits for the last of them.
            if calls - {request.call}:
                room = min(room, self._pace.n_beside - step.n_prompt)
            n = self._include(step, request, room)
            room -= n
            step.n_prompt += n
            if room <= 0 or not (n or request.is_over):
                break
        if step.parts and not step.n_prompt:
            step.n_drafted = self._speculation.extend(step.parts, room, self._pace.beside_s)
        return step

    def _next_prompts(self, begun: list[Request]) -> Iterator[Request]:
        """Those that run or wait, by their tags, as long as there is room for them to run."""
        while begun or len(self._line):
            first = self._line.first
            if first is None or (begun and begun[0].tag < first.tag):
                yield begun.pop(0)
            elif len(self._running) < MAX_RUNNING:
                if not self._begin(first):
                    yield from begun
                    return
                if not first.is_over:
                    yield first
            elif begun:
                yield begun.pop(0)
            else:
                return

    def _begin(self, request: Request) -> bool:
        """Have one run who stood in line; False where the disk still brings what is known of it."""
        if not self._is_loaded(request):
            return False
        self._running.append(self._line.leave(request))
        try:
            with needed_for("looking for what is known of a prompt"):
                self._memory.begin(request)
        except EngineError as error:
            self._end(request, error)
        return True

    def _give_way(self) -> None:
        """Let callers that have nothing running take places of those that have several."""
        while len(self._running) >= MAX_RUNNING:
            counts = Counter(request.call for request in self._running)
            call, n = counts.most_common(1)[0]
            waiting = self._line.first_but_of(counts) if n > 1 else None
            if waiting is None or not self._begin(waiting):
                return
            self._preempt(max((r for r in self._running if r.call is call), key=lambda r: r.tag))

    def _include(self, step: Step, request: Request, room: int) -> int:
        """Put a request's next tokens into a step; how many there are."""
        n = min(request.n_wanted, room)
        while request.sequence is not None and n > 0:
            try:
                spans = request.spans(n)
                for span in spans:
                    span.sequence.reserve(len(span.tokens))
            except EngineError as error:
                if not self._memory.find_pages(error):
                    self._make_room(step, request, error)
                continue
            if spans:
                step.parts.append((request, spans))
            return sum(len(span.tokens) for span in spans)
        return 0

    def _make_room(self, step: Step, request: Request, error: EngineError) -> None:
        """Take memory from who stands last in line; nobody is left before the request fails."""
        taken = {id(r) for r, _ in step.parts}
        behind = [r for r in self._running if r.tag >= request.tag and id(r) not in taken]
        last = max(behind, key=lambda r: r.tag)
        if last is request and len(self._running) == 1:
            self._end(request, error)
        else:
            self._preempt(last)

    def _is_loaded(self, request: Request) -> bool:
        """Whether all that the disk knows of it is in memory; works on that for a moment only."""
        end_s = time.perf_counter() + _READING_S
        while self._memory.load_next(request):
            if time.perf_counter() > end_s or request.is_cancelled:
                return False
        return True

    def _preempt(self, request: Request) -> None:
        self._memory.keep(request)
        request.sequence = None
        self._running.remove(request)
        self._line.put_back(request)

    def _end(self, request: Request, error: BaseException | None = None) -> None:
        if error is not None and request.error is None:
            # Each caller raises his own: a traceback grows where an error is raised.
            request.error = copy.copy(error)
            request.error.__cause__ = error.__cause__
        if request in self._running:
            self._running.remove(request)
        self._line.settle(request)
        if self.is_idle:
            self._line.rest()
        call = request.call
        try:
            self._memory.keep(request)
            self._speculation.remember(request)
            call.tell(request)  # how far it came
        finally:
            request.sequence = None
            del request.call  # no circle: what came of it may be large
            request.is_over = True
            call.tell(request)
            if request.shared is not None:
                self._enter(request.shared.leave(request))


def _take(request: Request, rows: F32) -> None:
    """Whatever goes wrong there is the request's own."""
    try:
        with needed_for("generating"):
            request.take(rows)
    except BaseException as error:
        request.error = error
