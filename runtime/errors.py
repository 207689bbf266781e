"""Every error that halfbyte raises on purpose.

    HalfbyteError
    ├── ModelFileError        a file or folder that holds a model is missing, broken or hostile
    │   ├── MissingFileError        nothing lies there (also a FileNotFoundError)
    │   ├── UnsupportedModelError   well-formed, but this version cannot run it
    │   ├── TemplateError           its chat template does not compile or does too much
    │   └── ConversionError         a source cannot be converted
    ├── CacheFileError        a file or folder of remembered prompts is foreign or broken
    ├── DownloadError         a model could not be fetched
    ├── TokenizerError        a vocabulary or a text that cannot be tokenized (also a ValueError)
    ├── RequestError          an argument of a call (also a ValueError and a TypeError)
    │   └── ContextLengthError      more tokens than the context holds
    ├── SettingError          an environment variable or option of the installation
    ├── ToolCallError         a model called a function in a way that cannot be read
    ├── RequestTimeoutError   an answer took longer than its caller allowed (also a TimeoutError)
    └── EngineError           the engine cannot run (closed, forked, out of memory)
        └── OutOfPagesError         the bound of the KV cache is reached

Each carries its facts as fields, and its text says what was expected, what came and what to do.
Programs decide by type and field, never by text. All of them travel between processes.
"""

from __future__ import annotations

import errno
from os import PathLike, fspath
from reprlib import Repr
from typing import Any

from halfbyte.printable import bounded, printable

# Most characters of an error's parts, which may come from a file: `where` holds a path.
_MAX_WHERE, _MAX_FACT, _MAX_GOT = 600, 300, 2_000  # what came may be a list of names
_MAX_MESSAGE = 3_000


class HalfbyteError(Exception):
    """Base of all errors; `hint` is what the user can do, or an empty string."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        text = bounded(message, _MAX_MESSAGE)
        super().__init__(printable(f"{text}; {bounded(hint, _MAX_WHERE)}" if hint else text))
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Text and fields, whatever a class's constructor takes."""
        fields = {name: _travelling(value) for name, value in self.__dict__.items()}
        return _rebuilt, (type(self), self.args), fields


class _FactError(HalfbyteError):
    """An error about one named thing: where, what was expected, what came."""

    def __init__(
        self, where: str, *, expected: str = "", got: object = None, hint: str = ""
    ) -> None:
        where = bounded(where, _MAX_WHERE)
        facts = [f"expected {bounded(expected, _MAX_FACT)}"] if expected else []
        if got is not None:
            facts.append(f"got {_short(got)}")
        super().__init__(f"{where}: {', '.join(facts)}" if facts else where, hint=hint)
        self.expected = expected
        self.got = got


class _FileError(_FactError):
    """An error about a file or folder, `path`, and something in it, `field`."""

    def __init__(
        self,
        path: str | PathLike[str],
        field: str = "",
        *,
        expected: str = "",
        got: object = None,
        hint: str = "",
    ) -> None:
        self.path = fspath(path)
        self.field = field
        where = f"{self.path}: {bounded(field, _MAX_FACT)}" if field else self.path
        super().__init__(where, expected=expected, got=got, hint=hint)


class ModelFileError(_FileError):
    """A model file or folder is missing, truncated, inconsistent or hostile."""


class MissingFileError(ModelFileError, FileNotFoundError):
    """Nothing lies where a model, a tokenizer or another file should."""

    errno = errno.ENOENT

    @property
    def filename(self) -> str:
        """The path, as other FileNotFoundErrors name it."""
        return self.path


class UnsupportedModelError(ModelFileError):
    """The file is well-formed, but its architecture, a type or a feature cannot run here."""


class TemplateError(ModelFileError):
    """A chat template that does not compile, fails, or does more than a template may."""


class ConversionError(ModelFileError):
    """A source model cannot be converted, or the result cannot be written."""


class CacheFileError(_FileError):
    """A file or folder of remembered prompts is foreign, broken, another user's or full."""


class DownloadError(HalfbyteError):
    """A model could not be fetched, or what came is not what was promised."""


class TokenizerError(HalfbyteError, ValueError):
    """A vocabulary that cannot work, or a text that cannot be tokenized."""


class RequestError(_FactError, ValueError, TypeError):
    """An argument of a call has the wrong type, range or name; `param` names it.

    It is a ValueError and a TypeError, so that either of Python's habits catches it.
    """

    def __init__(
        self, param: str, *, expected: str = "", got: object = None, hint: str = ""
    ) -> None:
        self.param = param
        super().__init__(param, expected=expected, got=got, hint=hint)


class ContextLengthError(RequestError):
    """The prompt and the answer need more positions than the context holds."""

    def __init__(self, n_tokens: int, n_ctx: int, *, param: str = "prompt", hint: str = "") -> None:
        self.n_tokens = n_tokens
        self.n_ctx = n_ctx
        super().__init__(
            param, expected=f"at most {n_ctx} tokens of context", got=n_tokens, hint=hint
        )


class SettingError(_FactError):
    """An environment variable or an installation setting cannot be used; `name` names it."""

    def __init__(
        self, name: str, *, expected: str = "", got: object = None, hint: str = ""
    ) -> None:
        self.name = name
        super().__init__(name, expected=expected, got=got, hint=hint)


class RequestTimeoutError(HalfbyteError, TimeoutError):
    """The time that a caller gave is over.

    Attributes:
        timeout: that time in seconds.
        completion: what there was of the answer, as the call would have returned it, or of a list
            of prompts all answers; those cut short have the finish_reason "timeout". None where
            the call does not return text.
    """

    def __init__(self, timeout: float, completion: Any = None) -> None:
        self.timeout = timeout
        self.completion = completion
        super().__init__(
            f"not done within {timeout:g} s", hint="`completion` of this error has what there is"
        )


class ToolCallError(HalfbyteError):
    """A model's call of a function cannot be read: no JSON, or no function that it was offered.

    Attributes:
        reason: what is wrong with it.
        text: the call as the model wrote it.
        completion: the answer, with the calls before this one.
    """

    def __init__(self, reason: str, text: str, completion: Any = None) -> None:
        self.reason, self.text, self.completion = reason, text, completion
        super().__init__(
            f"a call of a function that cannot be read: {_short(reason)}",
            hint="ask again; `text` of this error is what the model wrote",
        )


class EngineError(HalfbyteError):
    """The engine cannot run: the model is closed, the process was forked, memory ran out."""


class OutOfPagesError(EngineError):
    """Sequences and remembered prompts hold all the KV cache that they may, `max_nbytes`.

    `wanted` bytes more would have been needed.
    """

    def __init__(self, nbytes: int, max_nbytes: int, wanted: int = 0, *, hint: str = "") -> None:
        self.nbytes = nbytes
        self.max_nbytes = max_nbytes
        self.wanted = wanted
        message = f"the KV cache is full: {nbytes:,} of {max_nbytes:,} bytes are held"
        super().__init__(message, hint=hint)


def unreadable(
    path: str | PathLike[str], expected: str, error: OSError | ValueError
) -> ModelFileError:
    """The error for a file that the system does not open, whether it is missing or not."""
    kind = MissingFileError if isinstance(error, FileNotFoundError) else ModelFileError
    return kind(path, expected=expected, got=getattr(error, "strerror", None) or str(error))


def _rebuilt(kind: type[HalfbyteError], args: tuple[object, ...]) -> HalfbyteError:
    error = kind.__new__(kind)
    error.args = args
    return error


def _travelling(value: object) -> object:
    """The value, or its text where it cannot be pickled."""
    import pickle  # for errors that travel alone

    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # whatever an object of a caller raises
        return _short(value)
    return value


class _Bounded(Repr):
    """The repr of data in which containers hold each other many times, in bounded time."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 4
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 10
        self.maxstring = self.maxlong = self.maxother = 1 << 30  # `bounded` cuts these


def _short(value: object) -> str:
    if isinstance(value, str):
        return bounded(value, _MAX_GOT)
    try:
        return bounded(_Bounded().repr(value), _MAX_GOT)
    except Exception:  # what an object's own repr raises, or a number of thousands of digits
        return f"a {type(value).__name__}"
