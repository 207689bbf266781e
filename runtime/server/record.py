"""What a server notes of a request while it is answered: for its log and its metrics."""

from __future__ import annotations

import re
import time
import uuid
from dataclasses import field
from typing import Any

from halfbyte.lazy_dataclass import dataclass

_OF_CLIENTS = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(slots=True)
class Record:
    """Attributes:
    request_id: as the client named it, or a name of our own.
    client: the name of its key, or its address.
    method, path: of HTTP.
    route: the route's path, not the request's; empty where there is none.
    begun_s: when it came, by time.monotonic().
    status: of the answer; 0 until there is one.
    error: what kind of fault ended it.
    model: the name of the one that was asked.
    queued_s: how long it waited for a place.
    first_s: after how long the first piece was there.
    total_s: how long it took.
    answers: the results of what was asked of models.
    firsts: of these, each prompt's first one.
    is_cut: whether the client left before the end.
    prompt: what was asked, where the log wants it.
    """

    request_id: str
    client: str = ""
    method: str = ""
    path: str = ""
    route: str = ""
    begun_s: float = field(default_factory=time.monotonic)
    status: int = 0
    error: str = ""
    model: str = ""
    queued_s: float | None = None
    first_s: float | None = None
    total_s: float = 0.0
    answers: list[Any] = field(default_factory=list)
    firsts: list[Any] = field(default_factory=list)
    is_cut: bool = False
    prompt: str | None = None

    @property
    def n_prompt(self) -> int:
        """Tokens of all prompts."""
        return sum(one.stats.n_prompt for one in self.firsts)

    @property
    def n_reused(self) -> int:
        """How many of them were known."""
        return sum(one.stats.n_reused for one in self.firsts)

    @property
    def n_answer(self) -> int:
        """Tokens of all answers."""
        return sum(len(one.tokens) for one in self.answers)

    @property
    def prefill_s(self) -> float:
        """Seconds that the prompts took."""
        return sum(one.stats.prefill_s for one in self.firsts)

    @property
    def decode_s(self) -> float:
        """Seconds that the longest answer took."""
        return max((one.stats.decode_s for one in self.answers), default=0.0)


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """The name that a request has by its headers, where that may be repeated, or a new one."""
    for name, value in headers:
        if name == b"x-request-id":
            text = value.decode("latin-1")
            if _OF_CLIENTS.fullmatch(text):
                return text
    return uuid.uuid4().hex
