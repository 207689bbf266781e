"""The text of one request as it grows, cut into pieces for whoever takes them."""

from __future__ import annotations

from typing import Generic, TypeVar, cast

from halfbyte.generation.call import Call
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
        self._n_taken = 0

    @property
    def is_done(self) -> bool:
        """Whether everything was taken."""
        return self.completion is not None and self._n_taken == len(self._request.text)

    @property
    def logprobs(self) -> list[TokenLogprob] | None:
        """Those of the tokens so far; None where they are not asked for."""
        return self._request.logprobs

    def take(self) -> str:
        """What has come since the last time, or nothing.

        Raises:
            HalfbyteError: what ended the request, once its pieces are taken.
        """
        is_over = self._request.is_over  # its text does not grow after that
        piece = self._request.text[self._n_taken :]
        if is_over and self.completion is None and (not piece or self._request.finish_reason):
            self._call.finish()
            self.completion = self._request.result()
        self._n_taken += len(piece)
        return piece
