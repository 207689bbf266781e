"""Generation piece by piece, for asyncio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from halfbyte.errors import EngineError
from halfbyte.generation.async_call import AsyncCall
from halfbyte.generation.chat_completion import Part, ToolCall
from halfbyte.generation.completion import Completion
from halfbyte.generation.pieces import Pieces
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.process_bound import ProcessBound

C = TypeVar("C", bound=Completion)
T = TypeVar("T")


class AsyncCompletionStream(ProcessBound, AsyncIterator[str], Generic[C]):
    """Pieces of text as they come.

    The answer is worked on from the first piece that is asked for. It is given up when the task
    that waits for a piece is cancelled, when a loop over the stream is left, when the stream is
    dropped, and by `aclose`. An error ends it without a completion, and every further call raises
    it again.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[AsyncCall]],
        pieces: Callable[[AsyncCall], Any] = Pieces,
    ) -> None:
        """A stream; `begin` makes the call and begins it, `pieces` cuts it up, as one request."""
        self._begin, self._cut = begin, pieces
        self._call: AsyncCall | None = None
        self._pieces: Any = None
        self._error: BaseException | None = None
        self._is_closed = self._is_taking = self._has_all = False

    @property
    def completion(self) -> C | None:
        """The result, once the last piece has been taken."""
        return None if self._pieces is None else self._pieces.completion

    @property
    def logprobs(self) -> list[TokenLogprob] | None:
        """Those of the tokens so far, some of which no piece has yet; None where not asked for."""
        return None if self._pieces is None else self._pieces.logprobs

    @property
    def n_prompt(self) -> int:
        """Tokens of the prompt, once the answer has begun."""
        return 0 if self._call is None else self._call.requests[0].n_prompt

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """The calls of functions in a chat's answer that are whole so far."""
        return () if self._pieces is None else self._pieces.tool_calls

    @property
    def requests(self) -> Sequence[Any]:
        """The text requests that are worked on: their `tokens` and `stats()` so far."""
        return () if self._call is None else self._call.requests

    def __aiter__(self) -> AsyncIterator[str]:
        return _Loop(self)

    async def __anext__(self) -> str:
        return await self._guarded(_take)

    async def begin(self) -> None:
        """Have the answer worked on before a piece is asked for; raises what refuses the call."""
        if self._call is None and not self._is_closed:
            self._call = await self._begin()
            self._pieces = self._cut(self._call)

    async def parts(self) -> AsyncIterator[Part]:
        """The pieces with what they are pieces of; of a chat, thoughts and calls of tools too."""
        try:
            while True:
                try:
                    part = await self._guarded(Pieces.take_part)
                except StopAsyncIteration:
                    return
                yield part
        finally:
            if self.completion is None:
                self.give_up()

    async def batch(self) -> list[tuple[int, Part]]:
        """All parts that wait, each with its answer's number, as soon as there are some; none at
        the end. For who sends them on, and closes the stream.
        """
        try:
            return await self._guarded(_take_waiting)
        except StopAsyncIteration:
            return []

    async def _guarded(self, take: Callable[[Pieces[C]], T | None]) -> T:
        """The next piece; StopAsyncIteration at the end."""
        if self._is_taking:
            raise EngineError(
                "a piece of this stream is being taken already",
                hint="give each task a stream of its own",
            )
        if self._error is not None:
            raise self._error
        self._is_taking = True
        try:
            return await self._next(take)
        except StopAsyncIteration:
            raise
        except BaseException as error:  # a cancelled task's too
            self._error = error if isinstance(error, Exception) else _interrupted(error)
            self.give_up()
            raise
        finally:
            self._is_taking = False

    def __del__(self) -> None:
        if self._call is not None:
            self._call.cancel()

    async def result(self) -> C:
        """Work to the end; what came of it.

        Raises:
            EngineError: the stream was closed before its end, and whatever ends it.
        """
        async for _ in self:
            pass
        if self.completion is None:
            raise EngineError("the stream was closed before the answer's end", hint="begin anew")
        return self.completion

    async def aclose(self) -> None:
        """Give up the rest of the answer; no pieces come any more."""
        self.give_up()

    def give_up(self) -> None:
        """`aclose` for who cannot wait; from the thread of the event loop."""
        self._is_closed = True
        if self._call is not None:
            self._call.cancel()

    async def _next(self, take: Callable[[Pieces[C]], T | None]) -> T:
        if self._is_closed and self.completion is None:
            raise StopAsyncIteration
        if self._call is None:
            await self.begin()
        call = self._call
        assert call is not None
        while True:
            if not self._has_all or call.is_over:
                piece = take(self._pieces)
                self._has_all = take is _take_waiting or not piece
                if piece:
                    return piece
                if self._pieces.is_done:
                    raise StopAsyncIteration
            await call.await_news()
            self._has_all = False
            if self._is_closed:
                raise EngineError("the stream was closed while a piece was awaited")


def _take(pieces: Any) -> Any:
    return pieces.take()


def _take_waiting(pieces: Any) -> Any:
    return pieces.take_waiting()


class _Loop(AsyncIterator[str]):
    """One loop over a stream; when it is left and dropped, so is the answer."""

    def __init__(self, stream: AsyncCompletionStream[Any]) -> None:
        self._stream = stream

    async def __anext__(self) -> str:
        return await self._stream.__anext__()

    def __del__(self) -> None:
        self._stream.give_up()


def _interrupted(cause: BaseException) -> EngineError:
    error = EngineError("the answer was interrupted and cannot go on", hint="begin anew")
    error.__cause__ = cause
    return error
