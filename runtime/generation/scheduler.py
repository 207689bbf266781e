"""The thread that owns an engine: whoever calls, from wherever, has the work done here.

Callers and this thread exchange nothing but a queue, the requests and their calls' news, so that a
signal's exception, which lands in the caller, never lands in a step, and no lock is held while
anything is computed. Idle, the thread waits in the queue. It refers to the engine but not to the
scheduler or the model, so these can be dropped while it waits; it then ends.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import TypeVar

from halfbyte.engine.adapter_weights import Applied
from halfbyte.engine.engine import Engine
from halfbyte.errors import EngineError
from halfbyte.generation.deadlines import Deadlines, TimedCall
from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.request import Request
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.speculation.draft_model import DraftModel
from halfbyte.generation.waiting import join, next_of
from halfbyte.process_bound import ProcessBound

log = logging.getLogger(__name__)

_ENDING_S = 10.0  # that the interpreter's end waits for all models
T = TypeVar("T")
Job = Callable[[], object]


class Scheduler(ProcessBound):
    """One engine's, used by all of its callers.

    Raises:
        EngineError: the thread cannot be started.
    """

    def __init__(
        self,
        engine: Engine,
        memory: PromptMemory | None = None,
        draft: DraftModel | None = None,
    ) -> None:
        self._pid = os.getpid()
        self.usual_adapters: Sequence[Applied] = ()  # of requests that do not say
        self._worker = _Worker(engine, memory or PromptMemory(engine), draft)
        try:
            self._worker.start()
        except (RuntimeError, MemoryError) as error:
            raise EngineError("the system gives no thread to compute in") from error
        weakref.finalize(self, self._worker.stop)

    def submit(self, requests: Sequence[Request]) -> None:
        """Begin to work on requests that belong to a call.

        Raises:
            EngineError: the model is closed, the process was forked, or this is the thread itself.
        """
        self.check_usable()
        for request in requests:
            if request.adapters is None:
                request.go_through(self.usual_adapters)
            self._do(partial(self._worker.batch.add, request))

    def cancel(self, requests: Sequence[Request]) -> None:
        """Give up requests, whether they have begun or not; from any thread, and in finalizers."""
        for request in requests:
            request.is_cancelled = True
        if os.getpid() == self._pid:
            self._worker.batch.give_up()

    def end_in_time(self, call: TimedCall) -> None:
        """Have a call end when its time is over, whoever waits for it or does not."""
        self._do(partial(self._worker.deadlines.add, call))

    def between_steps(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises, done by the engine's thread while it does nothing else.

        Raises:
            EngineError: as `submit`.
        """
        self.check_usable()
        answer: SimpleQueue[tuple[list[T], BaseException | None]] = SimpleQueue()

        def job() -> None:
            try:
                if self._worker.is_stopping:
                    raise self._worker.end_error()
                answer.put(([work()], None))
            except BaseException as error:
                answer.put(([], error))

        self._do(job)
        results, error = next_of(answer)
        if error is not None:
            raise error
        return results[0]

    def use_draft(self, draft: DraftModel) -> None:
        """Have another model guess; between steps."""
        self._worker.batch.speculation.use(draft)

    def close(self) -> None:
        """End all requests with an EngineError, and the thread; waits for its present stage."""
        if os.getpid() == self._pid:
            self._worker.stop()
            self._check_thread()
            join(self._worker.thread)

    def check_process(self) -> None:
        """EngineError where the process was forked: the thread is in its parent."""
        if os.getpid() != self._pid:
            raise EngineError(
                "the model was loaded before this process was forked",
                hint="load it in the child process, or start it with multiprocessing's 'spawn'",
            )

    def check_usable(self) -> None:
        """EngineError where the model is closed, or where `check_process` raises it; in its own
        thread too.
        """
        self.check_process()
        if self._worker.is_stopping:
            raise self._worker.end_error()
        self._check_thread()

    def _check_thread(self) -> None:
        # An object's finalizer runs wherever garbage is collected, and would wait for itself.
        if threading.get_ident() == self._worker.thread.ident:
            raise EngineError(
                "the model was used within its own computing, as by a __del__",
                hint="use it from another thread",
            )

    def _do(self, job: Job) -> None:
        self._worker.jobs.put(job)
        if self._worker.has_ended:  # perhaps before it could see the job
            self._worker.end_rest()


class _Worker:
    """The thread, what it is told and what it works on."""

    def __init__(self, engine: Engine, memory: PromptMemory, draft: DraftModel | None) -> None:
        self.memory = memory
        self.batch = RunningBatch(engine, memory, draft)
        self.jobs: SimpleQueue[Job] = SimpleQueue()
        self.deadlines = Deadlines()
        self.is_stopping = self.has_ended = False
        self._fault: BaseException | None = None  # of ours, that ended it
        self._ending = threading.RLock()
        self.thread = threading.Thread(target=self._run, name="halfbyte-engine", daemon=True)

    def start(self) -> None:
        self.thread.start()
        _workers.add(self)

    def stop(self) -> None:
        """Have it end soon. Takes no lock: garbage may be collected anywhere."""
        self.is_stopping = True
        self.batch.stop()
        self.jobs.put(_nothing)

    def end_rest(self) -> None:
        """End what came too late."""
        with self._ending:  # several may come, each in a thread of its own
            self._do_waiting()
            self.batch.fail(self.end_error())

    def end_error(self) -> EngineError:
        """Why nothing is computed any more; another one for each who is told."""
        if self._fault is None:
            return EngineError("the model is closed", hint="load it again")
        text = f"the engine's thread has failed: {self._fault!r}"
        error = EngineError(text, hint="load the model again")
        error.__cause__ = self._fault
        return error

    def _run(self) -> None:
        try:
            while not self.is_stopping:
                if self.batch.is_idle:
                    self._do_next()
                self._do_waiting()
                if not self.is_stopping:
                    self.deadlines.look()
                    self.batch.step()
        except BaseException as raised:  # nobody may wait for ever
            self._fault, self.is_stopping = raised, True
        try:
            self.batch.fail(self.end_error())
            self.batch.speculation.give_back()
            self.memory.close()
        finally:
            self.has_ended = True
            self.end_rest()

    def _do_next(self) -> None:
        """Wait for a job, and feed the disk meanwhile."""
        try:
            job = self.jobs.get(timeout=self.memory.work_ahead())
        except Empty:
            return
        job()

    def _do_waiting(self) -> None:
        # By itself, so that the idle thread holds no job, whose request holds the scheduler.
        while not self.jobs.empty():  # nobody else takes any
            job = self.jobs.get_nowait()
            job()


def _nothing() -> None:
    pass


_workers: weakref.WeakSet[_Worker] = weakref.WeakSet()


@atexit.register
def _end() -> None:
    """Before Python itself ends, under which no thread may compute."""
    for worker in list(_workers):
        worker.stop()
    end_s = time.monotonic() + _ENDING_S
    for worker in list(_workers):
        worker.thread.join(max(end_s - time.monotonic(), 0))
        if worker.thread.is_alive():
            text = "not all remembered prompts are kept: a model has not ended in %.0f seconds"
            log.warning(text, _ENDING_S)
