"""What a caller asks of an infilled middle: how sure it is to be, and where it ends."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from halfbyte.call_arguments import check_flag, literal
from halfbyte.errors import RequestError
from halfbyte.generation.confidence import Confidence
from halfbyte.generation.shown_text import ShownText
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class MiddleRules:
    """Checked when made.

    Attributes:
        min_confidence: where the first token is less likely than this, from 0 to 1, the request
            ends at once, with nothing.
        confidence: whether the result tells the tokens' probabilities; with min_confidence it does.
        trim_suffix: whether what the middle's end repeats of the suffix is cut.
        single_line: whether the middle ends with its first line that is not blank.
        reuse_answer: whether text that was typed along with an earlier answer gets its rest.

    Raises:
        RequestError: a value of the wrong type or out of range; `param` names it.
    """

    min_confidence: float | None = None
    confidence: bool = False
    trim_suffix: bool = True
    single_line: bool = False
    reuse_answer: bool = True

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[MiddleRules, dict[str, Any]]:
        """The rules among a call's options, and the other options."""
        rest = dict(options)
        mine = {field.name: rest.pop(field.name) for field in fields(cls) if field.name in rest}
        return cls(**mine), rest

    def __post_init__(self) -> None:
        for name in ("confidence", "trim_suffix", "single_line", "reuse_answer"):
            object.__setattr__(self, name, check_flag(name, getattr(self, name)))
        least: object = self.min_confidence
        if least is not None:
            is_number = isinstance(least, numbers.Real) and not isinstance(least, bool)
            if not is_number or not 0 <= least <= 1:  # type: ignore[operator]
                expected = "a number from 0 to 1, or None"
                raise RequestError("min_confidence", expected=expected, got=literal(least))
            object.__setattr__(self, "min_confidence", float(least))  # type: ignore[arg-type]

    def check_search(self) -> None:
        """RequestError where a beam search is asked how sure it is of single tokens."""
        for name in ("min_confidence", "confidence"):
            value = getattr(self, name)
            if value not in (None, False):
                hint = "logprobs= tells each token's probability, and `score` the answer's"
                expected = "left out with num_beams"
                raise RequestError(name, expected=expected, got=value, hint=hint)

    def shown_text(self, stops: tuple[str, ...], suffix: str, **ends: Any) -> ShownText:
        """What takes the middle's text before this suffix; `ends` as ShownText has them."""
        trimmed = suffix if self.trim_suffix else ""
        return ShownText(stops, suffix=trimmed, is_line=self.single_line, **ends)

    def make_confidence(self) -> Confidence | None:
        """What takes its tokens' probabilities; None where nobody asks."""
        if self.min_confidence is None and not self.confidence:
            return None
        return Confidence(self.min_confidence or 0.0)
