"""Functions of a caller that change the logits: `logits_processor`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from halfbyte.call_arguments import literal
from halfbyte.errors import RequestError
from halfbyte.generation.rules.token_ids import TokenIds
from halfbyte.generation.sampler import F32, I64
from halfbyte.lazy_dataclass import dataclass

NAME = "logits_processor"
Processor = Callable[[I64, F32], Any]
_EXPECTED = "a function of (ids, row), or a list of such functions"


@dataclass(frozen=True, slots=True)
class Processors:
    """Those of a call, in their order. Checked when made."""

    functions: tuple[Processor, ...] = ()

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[Processors, dict[str, Any]]:
        """The processors among a call's options, and the other options.

        Raises:
            RequestError: what was given cannot be called.
        """
        rest = dict(options)
        value = rest.pop(NAME, None)
        if value is None:
            return cls(), rest
        functions = (value,) if callable(value) else value
        is_list = isinstance(functions, Sequence) and not isinstance(functions, (str, bytes))
        if not is_list or not all(map(callable, functions)):
            raise RequestError(NAME, expected=_EXPECTED, got=literal(value))
        return cls(tuple(functions)), rest

    def rules(self, prompt: Sequence[int]) -> list[ProcessorRule]:
        """Their rules for an answer to this prompt."""
        if not self.functions:
            return []
        return [ProcessorRule(self.functions, prompt)]


class ProcessorRule:
    """Calls functions with the tokens so far and the row that they change."""

    def __init__(self, functions: Sequence[Processor], ids: Sequence[int]) -> None:
        self._functions, self._ids = functions, TokenIds(ids)

    def change(self, row: F32) -> None:
        """Call them one after another.

        Raises:
            RequestError: one gives back another shape, or leaves NaN or nothing but -inf.
            Exception: whatever a function raises, with a note that says which.
        """
        ids = self._ids.array
        for i, function in enumerate(self._functions):
            name = f"{NAME}[{i}]" if len(self._functions) > 1 else NAME
            try:
                made = function(ids, row)
            except BaseException as error:
                if hasattr(error, "add_note"):  # from Python 3.11 on
                    error.add_note(f"raised by {name}, {_name_of(function)}")
                raise
            if made is not None and made is not row:
                _put(made, row, name)
            best = row[row.argmax()]
            if not np.isfinite(best):
                got = "nothing but -inf" if best == -np.inf else str(best)
                expected = "logits that are finite, or -inf for some"
                raise RequestError(name, expected=expected, got=f"{got} from {_name_of(function)}")

    def accept(self, token: int) -> None:
        """A token was taken."""
        self._ids.append(token)

    def rewind(self, n: int) -> None:
        """The last n tokens were taken back."""
        self._ids.take_back(n)

    def fork(self) -> ProcessorRule:
        """A rule for another answer with the same beginning; the functions are the same."""
        made = copy.copy(self)
        made._ids = self._ids.copy()
        return made


def _put(made: Any, row: F32, name: str) -> None:
    """Take logits that were given back in place of changed ones."""
    shape = np.shape(made)
    if shape != row.shape:
        expected = f"nothing, or logits of shape {row.shape}"
        raise RequestError(name, expected=expected, got=f"shape {shape}")
    try:
        with np.errstate(over="ignore"):  # it is looked at whether all is finite
            row[:] = made
    except (TypeError, ValueError) as error:
        raise RequestError(name, expected="numbers", got=str(error)) from error


def _name_of(function: Processor) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__
