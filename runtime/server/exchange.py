"""What a protocol's handler sees of a request and of the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from halfbyte.errors import EngineError
from halfbyte.generation.chat_completion import Part, ToolCall
from halfbyte.generation.completion import Stats
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.server.ask import Ask
from halfbyte.server.dropped import without
from halfbyte.server.fault import Fault
from halfbyte.server.gate import Place, ending
from halfbyte.server.record import Record
from halfbyte.server.served_model import ServedModel

if TYPE_CHECKING:
    from halfbyte.server.server_settings import ServerSettings
    from halfbyte.server.server_state import ServerState

T = TypeVar("T")
_N_GAPS = 16  # that are counted together, since what counts them is far from what streams them


class Exchange:
    """A request that is being answered.

    Attributes:
        client: who asks: the name of its key, or its address.
        path: the route's parameters by name.
        query: those behind the question mark, of several the last.
        request_id: as the client named it, or a name of our own.
        begun_s: when it came, by time.monotonic().
        created: the same as seconds since 1970.
        record: what is noted of it.
    """

    def __init__(
        self,
        state: ServerState,
        record: Record,
        *,
        path: Mapping[str, str],
        query: Mapping[str, str],
    ) -> None:
        self.state, self.record = state, record
        self.shelf, self.gate = state.shelf, state.gate
        self.settings: ServerSettings = state.settings
        self.client, self.path, self.query = record.client, path, query
        self.request_id, self.begun_s, self.created = (
            record.request_id, record.begun_s, int(time.time()),
        )  # fmt: skip
        self._held: list[ServedModel] = []
        self._answers: list[Answer] = []

    async def model(self, name: str | None) -> ServedModel:
        """The model of that name, loaded, which stays until the request is over; None or nothing
        names the first one.

        Raises:
            Fault: there is none, or it cannot be loaded.
        """
        served = await self.shelf.get(name or "")
        self.shelf.hold(served)
        self._held.append(served)
        self.record.model = served.name
        return served

    async def answer(self, model: ServedModel, ask: Ask) -> list[Any]:
        """The answers to a call, when they are whole: Completion, Infilling, ChatCompletion, Edit.

        Raises:
            Fault: the server is busy; HalfbyteError: as the method.
        """
        ask, place = await self._enter(shortened(model, ask))
        try:
            done = await model.answer(ask)
        except EngineError as error:
            raise self.told(error) from None
        finally:
            place.leave()
        self.answered(done)
        return done

    async def stream(self, model: ServedModel, ask: Ask) -> Answer:
        """The answers as they grow; begun, so that what refuses the call is raised here."""
        ask, place = await self._enter(shortened(model, ask))
        try:
            stream = await model.stream(ask)
        except BaseException:
            place.leave()
            raise
        answer = Answer(stream, place, ask.n, self)
        self._answers.append(answer)
        return answer

    async def prepared(self, work: Callable[..., T], *args: Any) -> T:
        """What a function returns that encodes, renders or reads files, in a thread, when it is its
        turn: however many ask for that, the event loop and the engine have their time.

        Raises:
            Fault: the server is busy; what the function raises.
        """
        place = await self.state.desk.enter(self.client, self._left_s(self.settings.timeout))
        task = asyncio.ensure_future(asyncio.to_thread(work, *args))

        def done(task: asyncio.Future[T]) -> None:
            place.leave()
            if not task.cancelled():
                task.exception()  # is nobody's any more where the client has left

        task.add_done_callback(done)
        return await asyncio.shield(task)  # nothing ends a thread: its place is free when it is

    async def awaited(self, begin: Callable[[], Awaitable[T]]) -> T:
        """What comes of other work than an answer, which begins once a place is free.

        Raises:
            Fault: it is not done when the time is over.
        """
        ask, place = await self._enter(Ask("complete", ([],)))
        try:
            return await asyncio.wait_for(begin(), ask.options.get("timeout"))
        except asyncio.TimeoutError:
            limit_s = self.settings.timeout or 0.0
            raise Fault("timeout", f"it was not done after {limit_s:g} s") from None
        finally:
            place.leave()

    def answered(self, done: list[Any]) -> None:
        """Note what came of a call, of which several prompts have a list each."""
        by_prompt = done if done and isinstance(done[0], list) else [done]
        answers = [one for some in by_prompt for one in some]
        self.record.answers += answers
        self.record.firsts += [some[0] for some in by_prompt if some]
        self.state.mismatches.look_at(self.record, answers)

    def told(self, error: Exception) -> Exception:
        """What a client hears of an error: one that the server's end made is no model's fault."""
        if isinstance(error, EngineError) and self.gate.is_stopped:
            error = ending()
        self.record.error = error.kind if isinstance(error, Fault) else type(error).__name__
        return error

    async def close(self) -> None:
        """Give back what the request still holds."""
        try:
            for answer in self._answers:
                await answer.close()
        finally:
            for served in self._held:
                self.shelf.release(served)
            self._held.clear()

    async def _enter(self, ask: Ask) -> tuple[Ask, Place]:
        """The call within the server's limits, and a place for it."""
        self._check(ask)
        left_s, begin_s = self._left_s(self._limit_s(ask)), time.monotonic()
        place = await self.gate.enter(self.client, left_s)
        waited_s = time.monotonic() - begin_s
        self.record.queued_s = (self.record.queued_s or 0.0) + waited_s
        options = dict(ask.options)
        if left_s is not None:
            options["timeout"] = max(left_s - waited_s, 1e-3)
        if self.settings.max_tokens is not None and "max_tokens" in options:
            options["max_tokens"] = min(options["max_tokens"], self.settings.max_tokens)
        ask = replace(ask, options=options)
        ask = without(ask, self.settings.dropped)
        if self.settings.logs_prompts:
            self.record.prompt = repr(ask.arguments)
        return ask, place

    def _limit_s(self, ask: Ask) -> float | None:
        """Seconds that the call may take since the request came."""
        limits = (self.settings.timeout, ask.options.get("timeout"))
        return min((s for s in limits if s is not None), default=None)

    def _left_s(self, limit_s: float | None) -> float | None:
        """What is left of the seconds that the request may take; None: no end."""
        if limit_s is None:
            return None
        left_s = limit_s - (time.monotonic() - self.begun_s)
        if left_s <= 0:
            raise Fault("timeout", f"the answer had not begun after {limit_s:g} s", retry_after=1)
        return left_s

    def _check(self, ask: Ask) -> None:
        n_most = self.settings.max_n
        for name, n in (("best_of", ask.options.get("best_of")), ("n", ask.n)):
            if n is not None and n > n_most:
                raise Fault(
                    "invalid_request", f"{name}: expected at most {n_most}, got {n}", param=name
                )


def shortened(model: ServedModel, ask: Ask) -> Ask:
    """A call whose prediction is no longer than an answer can be: to encode more takes long."""
    guess = ask.options.get("prediction")
    most = model.model.n_ctx * model.model.tokenizer.max_piece_nbytes
    if not isinstance(guess, str) or len(guess) <= most:
        return ask
    return replace(ask, options={**ask.options, "prediction": guess[:most]})


class Answer:
    """Answers on their way; loop over it to the end, or close it."""

    def __init__(self, stream: Any, place: Place, n: int | None, exchange: Exchange) -> None:
        self._stream, self._n, self._exchange = stream, n, exchange
        self._place: Place | None = place
        self._requests = stream.requests  # asked for each piece

    async def __aiter__(self) -> AsyncIterator[list[tuple[int, Part]]]:
        """The parts that wait at a time, each with the number of its answer, from 0."""
        record, then_s = self._exchange.record, 0.0
        gaps: list[float] = []
        try:
            while batch := await self._stream.batch():
                now_s = time.monotonic()
                if record.first_s is None:
                    record.first_s = now_s - record.begun_s
                elif then_s:
                    gaps.append((now_s - then_s) / len(batch))
                    if len(gaps) == _N_GAPS:
                        self._count(gaps)
                then_s = now_s
                yield batch
            self._exchange.answered(self.completions)
        except Exception as error:
            raise self._exchange.told(error) from error.__cause__
        finally:
            self._count(gaps)
            await self.close()

    def _count(self, gaps: list[float]) -> None:
        """Count the seconds between pieces, and forget them."""
        seen = self._exchange.state.metrics.gaps_of(self._exchange.record.model)
        for gap in gaps:
            seen(gap)
        gaps.clear()

    async def close(self) -> None:
        """Give up what is left, and the place."""
        place, self._place = self._place, None
        if place is not None:
            try:
                await self._stream.aclose()
            finally:
                place.leave()

    @property
    def completions(self) -> list[Any]:
        """The results, once the loop has ended."""
        return list(self._stream.completions) if self._n is not None else [self._stream.completion]

    @property
    def n_prompt(self) -> int:
        """Tokens of the prompt."""
        return int(self._requests[0].n_prompt)

    def logprobs(self, i: int) -> list[TokenLogprob]:
        """Those of answer i so far; empty where they are not asked for."""
        told = self._stream.logprobs
        mine = told[i] if self._n is not None and told is not None else told
        return mine or []

    def tool_calls(self, i: int) -> list[ToolCall]:
        """The calls of functions in answer i that are whole so far."""
        told = self._stream.tool_calls
        mine = told[i] if self._n is not None and told else told
        return list(mine)

    def n_tokens(self, i: int) -> int:
        """How many tokens answer i has so far, some of which are in no part yet."""
        return int(self._requests[i].n_generated)

    def tokens(self, i: int, begin: int, end: int) -> list[int]:
        """The ids of these tokens of answer i."""
        request = self._requests[i]
        return list(request.ids[request.n_prompt + begin : request.n_prompt + end])

    def stats(self, i: int) -> Stats:
        """What answer i cost so far."""
        stats: Stats = self._requests[i].stats()
        return stats
