"""What a caller asks of a beam search."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from halfbyte.call_arguments import is_whole, literal
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass

MAX_BEAMS = 64


@dataclass(frozen=True, slots=True)
class Beams:
    """Checked when made; the names and what they mean are transformers' (docs/candidates.md).

    Attributes:
        num_beams: branches that are followed; 1 is no beam search.
        num_beam_groups: groups that the beams are divided into, each of which avoids the tokens
            that those before it take in the same step.
        diversity_penalty: subtracted from a token's log-probability for each beam of earlier groups
            that takes it; above 0 where there are groups.
        length_penalty: an answer's score is its log-probability divided by its length to this
            power: above 0 favours longer ones.
        early_stopping: True ends when num_beams answers are finished; False when it is unlikely
            that a better one comes; "never" when none can.

    Raises:
        RequestError: a value of the wrong type or out of range; `param` names it.
    """

    num_beams: int = 1
    num_beam_groups: int = 1
    diversity_penalty: float = 0.0
    length_penalty: float = 1.0
    early_stopping: bool | Literal["never"] = False

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[Beams, dict[str, Any]]:
        """The beams among a call's options, and the other options."""
        rest = dict(options)
        mine = {field.name: rest.pop(field.name) for field in fields(cls) if field.name in rest}
        return cls(**mine), rest

    def __post_init__(self) -> None:
        for name in ("num_beams", "num_beam_groups"):
            value: object = getattr(self, name)
            if not is_whole(value) or not 1 <= value <= MAX_BEAMS:
                raise RequestError(
                    name, expected=f"a whole number from 1 to {MAX_BEAMS}", got=literal(value)
                )
            object.__setattr__(self, name, int(value))
        for name, low in (("diversity_penalty", 0.0), ("length_penalty", -100.0)):
            object.__setattr__(self, name, _real(name, getattr(self, name), low))
        early: object = self.early_stopping
        if not (isinstance(early, bool) or (isinstance(early, str) and early == "never")):
            raise RequestError(
                "early_stopping", expected='True, False or "never"', got=literal(early)
            )
        self._check_together()

    @property
    def are_wanted(self) -> bool:
        """Whether there is a beam search."""
        return self.num_beams > 1

    @property
    def group_size(self) -> int:
        """Beams of a group."""
        return self.num_beams // self.num_beam_groups

    def _check_together(self) -> None:
        if self.num_beams % self.num_beam_groups:
            expected = f"a divisor of num_beams, {self.num_beams}"
            raise RequestError("num_beam_groups", expected=expected, got=self.num_beam_groups)
        if (self.num_beam_groups > 1) != (self.diversity_penalty > 0):
            expected = "above 0 with num_beam_groups, and only then"
            raise RequestError("diversity_penalty", expected=expected, got=self.diversity_penalty)
        if not self.are_wanted:
            for field in fields(self):
                value = getattr(self, field.name)
                if value != field.default:
                    hint = "num_beams=4 searches with four beams"
                    raise RequestError(
                        field.name, expected="left out without num_beams", got=value, hint=hint
                    )


def _real(name: str, value: object, low: float) -> float:
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    # A number of thousands of digits is no float.
    if is_number and low <= value <= 100 and math.isfinite(value):  # type: ignore[operator, arg-type]
        return float(value)  # type: ignore[arg-type]
    raise RequestError(name, expected=f"a number from {low:g} to 100", got=literal(value))
