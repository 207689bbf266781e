"""The text of one request as it grows, cut into pieces for whoever takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar, cast

from halfbyte.generation.call import Call
from halfbyte.generation.chat_completion import Part, ToolCall
from halfbyte.generation.completion import Completion
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.generation.text_request import TextRequest

C = TypeVar("C", bound=Completion)


class Pieces(Generic[C]):
    """What of a call's one text request was taken.

    Attributes:
        completion: the result, once the last piece has been taken.
    """

    def __init__(self, call: Call) -> None:
        self.completion: C | None = None
        self._call, self._request = call, cast(TextRequest, call.requests[0])
        self._n_taken = self._n_parts = 0

    @property
    def is_done(self) -> bool:
        """Whether everything has come."""
        return self.completion is not None

    @property
    def logprobs(self) -> list[TokenLogprob] | None:
        """Those of the tokens so far; None where they are not asked for."""
        return self._request.logprobs

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """The calls of functions that are whole so far."""
        return self._request.shown.tool_calls

    def take(self) -> str:
        """What has come since the last time, or nothing.

        Raises:
            HalfbyteError: what ended the request, once its pieces are taken.
        """
        is_over = self._request.is_over  # its text does not grow after that
        piece = self._request.text[self._n_taken :]
        if is_over and (not piece or self._request.finish_reason):
            self._end()
        self._n_taken += len(piece)
        return piece

    def take_part(self) -> Part | None:
        """The same with what it is a piece of; of a chat, thoughts and calls too."""
        parts = self._request.shown.parts
        if parts is None:
            piece = self.take()
            return Part("content", piece) if piece else None
        is_over = self._request.is_over
        part = parts[self._n_parts] if self._n_parts < len(parts) else None
        is_last = self._n_parts + 1 == len(parts) and self._request.finish_reason
        if is_over and (part is None or is_last):
            self._end()
        self._n_parts += part is not None
        return part

    def take_waiting(self) -> list[tuple[int, Part]]:
        """All parts that have come since the last time, each with the number of its answer, 0."""
        parts: list[tuple[int, Part]] = []
        while part := self.take_part():
            parts.append((0, part))
        return parts

    def _end(self) -> None:
        """Make the result, or raise what ended the request."""
        if self.completion is None:
            self._call.finish()
            done = self._request.result()
            done.check_calls()
            self.completion = done
