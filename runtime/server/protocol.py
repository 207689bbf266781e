"""A protocol: its routes, and the shape of its errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from halfbyte.lazy_dataclass import dataclass
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.fields import Fields
from halfbyte.server.reply import Reply

Handler = Callable[[Exchange, Any], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """Attributes:
    method: of HTTP; GET answers HEAD too.
    path: as Starlette writes it, `/v1/models/{name:path}`.
    handler: answers; its second argument are the checked fields, None without `fields`.
    fields: the schema of the body; None: a body is ignored.
    is_open: whether it needs no key.
    needs_no_body: whether no body means no fields, instead of being refused.
    """

    method: str
    path: str
    handler: Handler
    fields: type[Fields] | None = None
    is_open: bool = False
    needs_no_body: bool = False


@dataclass(frozen=True, slots=True)
class Protocol:
    """Attributes:
    name: for logs and metrics.
    routes: what it answers.
    error: a fault as its clients read it, as a JSON value.
    prefixes: of paths whose errors have its shape though no route is theirs.
    """

    name: str
    routes: Sequence[Route]
    error: Callable[[Fault], object]
    prefixes: tuple[str, ...] = ()
