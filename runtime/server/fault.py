"""What goes wrong with a request, before a protocol gives it its own shape."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from halfbyte.errors import (
    CacheFileError,
    ContextLengthError,
    EngineError,
    HalfbyteError,
    ModelFileError,
    OutOfPagesError,
    RequestError,
    RequestTimeoutError,
    TemplateError,
    TokenizerError,
    ToolCallError,
    UnsupportedModelError,
)

log = logging.getLogger(__name__)

Kind = Literal[
    "invalid_request", "context_length", "authentication", "permission", "not_found", "method",
    "too_large", "media_type", "not_supported", "rate_limit", "overloaded", "timeout",
    "unreadable_call", "internal",
]  # fmt: skip
STATUS: dict[Kind, int] = {
    "invalid_request": 400, "context_length": 400, "authentication": 401, "permission": 403,
    "not_found": 404, "method": 405, "too_large": 413, "media_type": 415, "not_supported": 501,
    "rate_limit": 429, "overloaded": 503, "timeout": 504, "unreadable_call": 422, "internal": 500,
}  # fmt: skip
NO_TEMPLATE = (
    "expected one with a chat template, got one that has none: /v1/completions, or Ollama's "
    "/api/generate, continues a text"
)
_RETRY_S = 1
_INDEX = re.compile(r"\[(\d+)\]")


class Fault(Exception):
    """A request that gets an error for an answer.

    Attributes:
        kind: what is wrong; STATUS has its HTTP status.
        message: for people: what was expected, what came, what to do.
        param: the field that is to blame, dots between names; empty if none is.
        retry_after: seconds after which it may be tried again; None: not before it is changed.
        request_id: of the request; empty where none has begun.
        details: numbers by name, for protocols that tell them.
    """

    request_id = ""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        param: str = "",
        retry_after: int | None = None,
        details: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.kind, self.message, self.param, self.retry_after = kind, message, param, retry_after
        self.details = details

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.kind]


def refused(param: str, expected: str, got: object) -> Fault:
    """What to raise about a field's value."""
    message = f"{param}: expected {expected}, got {got!r:.100}"
    return Fault("invalid_request", message, param=param)


def fault_of(error: BaseException) -> Fault:
    """What a client is told of an error; one that is nobody's request is logged with its trace."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, RequestTimeoutError):
        return Fault("timeout", str(error))
    if isinstance(error, ContextLengthError):
        details = {"n_prompt_tokens": error.n_tokens, "n_ctx": error.n_ctx}
        return Fault("context_length", str(error), param=error.param, details=details)
    if isinstance(error, RequestError):
        return Fault("invalid_request", str(error), param=error.param)
    if isinstance(error, ToolCallError):
        return Fault("unreadable_call", str(error))
    if isinstance(error, (TokenizerError, TemplateError)):
        return Fault("invalid_request", _without_path(error))
    if isinstance(error, UnsupportedModelError):
        if lacks_template(error):
            return Fault("invalid_request", f"model: {NO_TEMPLATE}", param="model")
        return Fault("not_supported", _without_path(error))
    if isinstance(error, (ModelFileError, CacheFileError)):
        log.error("%s", error)
        return Fault("overloaded", f"the model cannot be used now: {_without_path(error)}")
    if isinstance(error, OutOfPagesError):
        message = f"memory for running answers is short: {error}"
        return Fault("overloaded", message, retry_after=_RETRY_S)
    if isinstance(error, EngineError):
        return Fault("overloaded", str(error), retry_after=_RETRY_S)
    if isinstance(error, MemoryError):
        return Fault("overloaded", "memory is short", retry_after=_RETRY_S)
    log.error("an answer failed: %r", error, exc_info=error)
    return Fault("internal", "the server failed; its log says why")


def renamed(error: RequestError, named: Callable[[str], str]) -> Fault:
    """What a client is told of one of the library's arguments, by the name of its field.

    Args:
        error: what the library says.
        named: gives the field's name for the argument's, both with dots before names and numbers.
    """
    fault = fault_of(error)
    name = named(_INDEX.sub(r".\1", error.param))
    fault.param, fault.message = name, f"{name}{fault.message.removeprefix(error.param)}"
    return fault


def lacks_template(error: UnsupportedModelError) -> bool:
    """Whether a model cannot chat, which is a matter of which model is asked."""
    return error.field == "tokenizer.chat_template" and error.got == "none"


def _without_path(error: HalfbyteError) -> str:
    """The text of an error about a file, which is the server's business."""
    path = getattr(error, "path", "")
    text = str(error)
    return text.replace(f"{path}: ", "").replace(path, "the file") if path else text
