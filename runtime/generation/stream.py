"""Generation piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import Generic, NoReturn, TypeVar

from halfbyte.engine.engine import Engine
from halfbyte.errors import EngineError
from halfbyte.generation.completion import Completion
from halfbyte.generation.generate import Request, run
from halfbyte.process_bound import ProcessBound
from halfbyte.progress import Progress

C = TypeVar("C", bound=Completion)


class CompletionStream(ProcessBound, Iterator[str], Generic[C]):
    """Pieces of text as they come; `completion` is set when the last one has been taken.

    An error ends it without a completion, and every further call raises it again. One thread at a
    time may take pieces.
    """

    def __init__(
        self,
        engine: Engine,
        request: Request,
        progress: Progress,
        finish: Callable[[Completion], C],
    ) -> None:
        self._error: BaseException | None = None
        self._traceback: TracebackType | None = None
        self.completion: C | None = None
        self._pieces = self._generate(engine, request, progress, finish)

    def __next__(self) -> str:
        if self._error is not None:
            self._raise_again(self._error)
        try:
            return next(self._pieces)
        except ValueError as error:
            # A generator that runs is Python's ValueError; those from inside are noted.
            if error is self._error:
                raise
            raise EngineError(
                "pieces of this stream are being taken already",
                hint="give each thread a stream of its own",
            ) from None

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

        Raises:
            EngineError: another thread is taking a piece.
        """
        try:
            self._pieces.close()
        except ValueError:
            raise EngineError(
                "a piece of this stream is being taken", hint="close it afterwards"
            ) from None

    def _generate(
        self,
        engine: Engine,
        request: Request,
        progress: Progress,
        finish: Callable[[Completion], C],
    ) -> Generator[str, None, None]:
        n_shown = 0
        try:
            for _ in run(engine, [request], progress):
                if request.finish_reason:
                    self.completion = finish(request.completion())
                piece = request.text[n_shown:]
                if piece:
                    n_shown += len(piece)
                    yield piece
            if self.completion is None:  # no tokens were wanted
                self.completion = finish(request.completion())
        except GeneratorExit:
            raise
        except BaseException as error:
            self._error, self._traceback = error, error.__traceback__
            raise

    def _raise_again(self, error: BaseException) -> NoReturn:
        if isinstance(error, Exception):
            raise error.with_traceback(self._traceback)  # which else grows with every call
        # Ctrl-C was pressed once: raised again, it would look like another time.
        raise EngineError(
            "the answer was interrupted and cannot go on", hint="begin anew"
        ) from error
