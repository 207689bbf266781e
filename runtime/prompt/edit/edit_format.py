"""What a format of next edits is: a layout of the prompt, and how its answer is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from halfbyte.lazy_dataclass import dataclass
from halfbyte.prompt.edit.edit_request import EditRequest
from halfbyte.prompt.edit.prompt_blocks import Block


class UnreadableAnswerError(ValueError):
    """An answer that is not as the format has it; the text says why."""


@dataclass(frozen=True, slots=True)
class Layout(ABC):
    """A request in a format.

    Attributes:
        blocks: the prompt.
        begin: where the part of the text that may change begins, in the text as it is shown.
        old: this part.
        draft: the answer that changes nothing. Most of a real answer is the same.
        needs_end: whether an answer that is cut short is none.
    """

    needs_end: ClassVar[bool] = True
    blocks: tuple[Block, ...]
    begin: int
    old: str
    draft: str

    @abstractmethod
    def read(self, answer: str) -> tuple[str, int | None]:
        """What takes the place of `old`, and where in it the cursor goes, if the answer says so.

        Args:
            answer: all that the model wrote, less what ends it.

        Raises:
            UnreadableAnswerError: it is not as the format has it.
        """


@dataclass(frozen=True, slots=True)
class EditFormat:
    """A format that a family of models was trained on.

    Attributes:
        name: what its users call it.
        models: a regular expression for the models' names, as in infill_models.py.
        source: who says how the prompt looks.
        tokens: special tokens that it cannot do without.
        lay_out: makes a prompt of a request.
        n_most: tokens of a prompt that the models were trained on.
        stop_texts: texts that end an answer.
        stop_tokens: special tokens that do, besides those that end any text.
        reserved: texts that may not stand in the part that may change, since the answer would be
            misread.
        shows_diagnostics: whether the models were trained on them.
        marks: a regular expression for the marks that the format writes in a prompt.
        draft_in: the answer that would change nothing, found in a prompt that a client laid out;
            None where the text is no such prompt.
    """

    name: str
    models: str
    source: str
    tokens: tuple[str, ...]
    lay_out: Callable[[EditRequest], Layout]
    n_most: int
    marks: str
    draft_in: Callable[[str], str | None]
    stop_texts: tuple[str, ...] = ()
    stop_tokens: tuple[str, ...] = ()
    reserved: tuple[str, ...] = ()
    shows_diagnostics: bool = False


def rest_of(answer: str, prefill: str) -> str:
    """What is left of an answer that a prompt begins already; all of it where it differs."""
    return answer.removeprefix(prefill)
