"""Generation piece by piece."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from halfbyte.engine.engine import Engine
from halfbyte.generation.completion import Completion
from halfbyte.generation.generate import Request, run
from halfbyte.process_bound import ProcessBound
from halfbyte.progress import Progress

C = TypeVar("C", bound=Completion)


class CompletionStream(ProcessBound, Iterator[str], Generic[C]):
    """Pieces of text as they come; `completion` is set when the last one has been taken."""

    def __init__(
        self,
        engine: Engine,
        request: Request,
        progress: Progress,
        finish: Callable[[Completion], C],
    ) -> None:
        self._request, self._finish = request, finish
        self._steps = run(engine, [request], progress)
        self._shown = 0
        self.completion: C | None = None

    def __next__(self) -> str:
        while self.completion is None:
            if next(self._steps, self) is self or self._request.finish_reason:
                self.completion = self._finish(self._request.completion())
            piece = self._request.text[self._shown :]
            if piece:
                self._shown += len(piece)
                return piece
        raise StopIteration

    def result(self) -> C:
        """Work to the end; what came of it."""
        for _ in self:
            pass
        assert self.completion is not None
        return self.completion
