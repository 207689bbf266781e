"""What a caller says of the language that an answer is in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from halfbyte.call_arguments import check_choice
from halfbyte.errors import RequestError
from halfbyte.generation.shown_text import ShownText
from halfbyte.import_lock import Later
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from halfbyte.generation.syntax import code_text
else:  # what reads code takes milliseconds
    code_text = Later("halfbyte.generation.syntax.code_text")

log = logging.getLogger(__name__)

LANGUAGES = ("python",)


@dataclass(frozen=True, slots=True)
class Syntax:
    """Checked when made.

    Attributes:
        syntax: the language; None where it does not matter.

    Raises:
        RequestError: one that is not known.
    """

    syntax: str | None = None

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[Syntax, dict[str, Any]]:
        """What the options of a call say, and the other options."""
        rest = dict(options)
        return cls(rest.pop("syntax", None)), rest

    def __post_init__(self) -> None:
        if self.syntax is not None:
            check_choice("syntax", self.syntax, LANGUAGES)

    def check_search(self) -> None:
        """RequestError where a beam search is to look for what parses, which it cannot."""
        if self.syntax is not None:
            hint = "n= draws several answers"
            expected = "nothing with num_beams"
            raise RequestError("syntax", expected=expected, got=self.syntax, hint=hint)

    def shown_text(
        self, inner: ShownText, prefix: Callable[[], str], suffix: str = ""
    ) -> ShownText:
        """What takes the text of an answer between these two; a word where that cannot help."""
        if self.syntax is None:
            return inner
        if inner.banned:
            expected = "nothing beside syntax"
            raise RequestError("banned_strings", expected=expected, got=list(inner.banned))
        code = code_text.between(prefix(), suffix, inner)
        if code is None:
            where = "between the prefix and the suffix" if suffix else "after the prompt"
            log.warning("syntax has no effect: nothing %s would parse as Python", where)
            return inner
        return code
