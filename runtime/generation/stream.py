"""Generation piece by piece."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Generic, NoReturn, TypeVar, cast

from halfbyte.errors import EngineError
from halfbyte.generation.call import Call
from halfbyte.generation.chat_completion import Part, ToolCall
from halfbyte.generation.completion import Completion
from halfbyte.generation.pieces import Pieces
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.process_bound import ProcessBound

C = TypeVar("C", bound=Completion)
T = TypeVar("T")


class CompletionStream(ProcessBound, Iterator[str], Generic[C]):
    """Pieces of text as they come.

    The answer is worked on from the beginning, whether or not pieces are taken. It is given up when
    the stream is closed, from any thread, when a loop over it is left, when the stream is dropped
    and when it fails; `next` takes single pieces. An error ends it without a completion, and every
    further call raises it again. One thread at a time may take pieces.
    """

    def __init__(self, call: Call, pieces: Callable[[Call], Any] = Pieces) -> None:
        """The stream of a call, which begins; `pieces` cuts it up: by default one text request."""
        self._call, self._pieces = call, pieces(call)
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self._is_closed = False
        self._taking = threading.Lock()
        weakref.finalize(self, call.cancel).atexit = False
        call.begin()

    @property
    def completion(self) -> C | None:
        """The result, once the last piece has been taken."""
        done: C | None = self._pieces.completion
        return done

    @property
    def logprobs(self) -> list[TokenLogprob] | None:
        """Those of the tokens so far, some of which no piece has yet; None where not asked for."""
        told: list[TokenLogprob] | None = self._pieces.logprobs
        return told

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """The calls of functions in a chat's answer that are whole so far."""
        return cast("Sequence[ToolCall]", self._pieces.tool_calls)

    def __iter__(self) -> Iterator[str]:
        while True:
            try:
                piece = next(self)
            except StopIteration:
                return
            try:
                yield piece
            except GeneratorExit:  # the loop was left
                self.close()
                raise

    def __next__(self) -> str:
        return self._guarded(self._pieces.take)

    def parts(self) -> Iterator[Part]:
        """The pieces with what they are pieces of; of a chat, thoughts and calls of tools too.

        A call comes as the model writes it, and in `completion` when it is read. Leaving a loop
        over them gives the rest of the answer up.
        """
        while True:
            try:
                part = self._guarded(self._pieces.take_part)
            except StopIteration:
                return
            try:
                yield part
            except GeneratorExit:
                self.close()
                raise

    def _guarded(self, take: Callable[[], T | None]) -> T:
        """The next piece; StopIteration at the end."""
        if not self._taking.acquire(blocking=False):
            raise EngineError(
                "pieces of this stream are being taken already",
                hint="give each thread a stream of its own",
            )
        try:
            return self._next(take)
        except StopIteration:
            raise
        except BaseException as error:
            if error is not self._error:
                self._error, self._traceback = error, error.__traceback__
                self._call.cancel()
            raise
        finally:
            self._taking.release()

    def __enter__(self) -> CompletionStream[C]:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def result(self) -> C:
        """Work to the end; what came of it.

        Raises:
            EngineError: the stream was closed before its end, and whatever ends it.
        """
        for _ in self:
            pass
        if self.completion is None:
            raise EngineError("the stream was closed before the answer's end", hint="begin anew")
        return self.completion

    def close(self) -> None:
        """Give up the rest of the answer and free its memory; no pieces come any more.

        Whoever waits for a piece meanwhile, in another thread, gets an EngineError.
        """
        self._is_closed = True
        self._call.cancel()

    def _next(self, take: Callable[[], T | None]) -> T:
        if self._error is not None:
            self._raise_again(self._error)
        self._call.check_process()
        if self._is_closed and self.completion is None:
            raise StopIteration
        while True:
            piece = take()
            if piece:
                return piece
            if self._pieces.is_done:
                raise StopIteration
            self._call.wait()
            if self._is_closed:
                raise EngineError("the stream was closed while a piece was awaited")

    def _raise_again(self, error: BaseException) -> NoReturn:
        if isinstance(error, Exception):
            raise error.with_traceback(self._traceback)  # which else grows with every call
        # Ctrl-C was pressed once: raised again, it would look like another time.
        raise EngineError(
            "the answer was interrupted and cannot go on", hint="begin anew"
        ) from error
