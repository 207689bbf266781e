"""Several answers to one prompt, piece by piece: pairs of an answer's number and its next piece."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar, cast

from halfbyte.generation.async_call import AsyncCall
from halfbyte.generation.async_stream import AsyncCompletionStream
from halfbyte.generation.call import Call
from halfbyte.generation.chat_completion import Part, ToolCall
from halfbyte.generation.completion import Completion
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.generation.stream import CompletionStream
from halfbyte.generation.text_request import TextRequest
from halfbyte.process_bound import ProcessBound

C = TypeVar("C", bound=Completion)
Piece = tuple[int, str]


class CandidatePieces:
    """What of a call's text requests was taken; as Pieces, for several.

    Attributes:
        completion: the results, once the last piece has been taken.
    """

    def __init__(self, call: Call) -> None:
        self.completion: list[Any] | None = None
        self._call = call
        self._requests = [cast(TextRequest, request) for request in call.requests]
        self._n_taken = [0] * len(self._requests)  # characters of text
        self._n_parts = [0] * len(self._requests)

    @property
    def is_done(self) -> bool:
        """Whether everything was taken."""
        return self.completion is not None

    @property
    def logprobs(self) -> list[list[TokenLogprob] | None]:
        """Each answer's so far."""
        return [request.logprobs for request in self._requests]

    @property
    def tool_calls(self) -> list[Sequence[ToolCall]]:
        """Each answer's calls of functions that are whole so far."""
        return [request.shown.tool_calls for request in self._requests]

    def take(self) -> Piece | None:
        """The next piece of some answer, or nothing yet.

        Raises:
            HalfbyteError: what ended a request, once all pieces are taken.
        """
        is_over = self._call.is_over  # no text grows after that
        for i, request in enumerate(self._requests):
            piece = request.text[self._n_taken[i] :]
            if piece:
                self._n_taken[i] += len(piece)
                return i, piece
        if is_over:
            self._end()
        return None

    def take_waiting(self) -> list[tuple[int, Part]]:
        """All parts that have come since the last time, each with the number of its answer."""
        is_over = self._call.is_over
        parts: list[tuple[int, Part]] = []
        for i, request in enumerate(self._requests):
            if request.shown.parts is None:
                text = request.text[self._n_taken[i] :]
                self._n_taken[i] += len(text)
                parts += [(i, Part("content", text))] if text else []
            else:
                new = request.shown.parts[self._n_parts[i] :]
                self._n_parts[i] += len(new)
                parts += [(i, part) for part in new]
        if is_over and not parts:
            self._end()
        return parts

    def _end(self) -> None:
        if self.completion is None:
            self._call.finish()
            self.completion = [request.result() for request in self._requests]


class CandidateStream(ProcessBound, Iterator[Piece], Generic[C]):
    """Pieces of several answers as they come, each with the number of its answer, from 0.

    It is worked on, given up and fails as a CompletionStream, all answers together.
    """

    def __init__(self, call: Call) -> None:
        """The stream of a call of text requests, which begins."""
        self._stream: CompletionStream[Any] = CompletionStream(call, CandidatePieces)

    @property
    def completions(self) -> list[C] | None:
        """The results, once the last piece has been taken."""
        return cast("list[C] | None", self._stream.completion)

    @property
    def logprobs(self) -> list[list[TokenLogprob] | None]:
        """Each answer's so far; None where they are not asked for."""
        return cast("list[list[TokenLogprob] | None]", self._stream.logprobs)

    def __iter__(self) -> Iterator[Piece]:
        return cast("Iterator[Piece]", iter(self._stream))

    def __next__(self) -> Piece:
        return cast(Piece, next(self._stream))

    def __enter__(self) -> CandidateStream[C]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def result(self) -> list[C]:
        """Work to the end; what came of it. Raises as CompletionStream.result."""
        return cast("list[C]", self._stream.result())

    def close(self) -> None:
        """Give up the rest of all answers."""
        self._stream.close()


class AsyncCandidateStream(ProcessBound, AsyncIterator[Piece], Generic[C]):
    """A CandidateStream for `async for`; begins with the first piece."""

    def __init__(self, begin: Callable[[], Awaitable[AsyncCall]]) -> None:
        """A stream; `begin` makes the call of text requests and begins it."""
        self._stream: AsyncCompletionStream[Any] = AsyncCompletionStream(begin, CandidatePieces)

    @property
    def completions(self) -> list[C] | None:
        """The results, once the last piece has been taken."""
        return cast("list[C] | None", self._stream.completion)

    @property
    def logprobs(self) -> list[list[TokenLogprob] | None] | None:
        """Each answer's so far; None before the first piece."""
        return cast("list[list[TokenLogprob] | None] | None", self._stream.logprobs)

    @property
    def n_prompt(self) -> int:
        """Tokens of the prompt, once the answers have begun."""
        return self._stream.n_prompt

    @property
    def tool_calls(self) -> list[Sequence[ToolCall]]:
        """Each answer's calls of functions that are whole so far; empty before the first piece."""
        return cast("list[Sequence[ToolCall]]", self._stream.tool_calls)

    @property
    def requests(self) -> Sequence[Any]:
        """See AsyncCompletionStream.requests."""
        return self._stream.requests

    def __aiter__(self) -> AsyncIterator[Piece]:
        return cast("AsyncIterator[Piece]", aiter(self._stream))

    async def __anext__(self) -> Piece:
        return cast(Piece, await anext(self._stream))

    async def begin(self) -> None:
        """See AsyncCompletionStream.begin."""
        await self._stream.begin()

    def batch(self) -> Awaitable[list[tuple[int, Part]]]:
        """See AsyncCompletionStream.batch."""
        return self._stream.batch()

    async def result(self) -> list[C]:
        """Work to the end; what came of it. Raises as AsyncCompletionStream.result."""
        return cast("list[C]", await self._stream.result())

    async def aclose(self) -> None:
        """Give up the rest of all answers."""
        await self._stream.aclose()
