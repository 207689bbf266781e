"""How models think before they answer: between which texts, and what switches it on and off."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any

from halfbyte.call_arguments import check_flag, is_whole
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.tokenizer.harmony_texts import THOUGHTS
from halfbyte.tokenizer.tokenizer import check_text

log = logging.getLogger(__name__)

# Between these texts, where the template mentions the longer of them.
MARKS = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    THOUGHTS,
)
# What templates call the switch.
SWITCHES = ("enable_thinking", "thinking")
EFFORT = "reasoning_effort"  # which Harmony's templates read
_WORD = re.compile("[A-Za-z][A-Za-z_-]{0,31}")
_MAX_BUDGET = 2**31 - 1
# Source: Qwen3's technical report, "Thinking Budget".
CLOSING = (
    "\n\nConsidering the limited time by the user, I have to give the solution based on the "
    "thinking directly now.\n"
)


@dataclass(frozen=True, slots=True)
class Thinking:
    """What a caller of chat says about it. Checked when made.

    Attributes:
        thinking: whether the model is to think; None: as its template has it.
        reasoning_budget: most tokens of it, then it is closed; None for no limit.
        reasoning_closing: what it ends with then, before the text that ends it.
        reasoning_effort: how much it is to think, in a word that the template reads: gpt-oss knows
            low, medium and high; None: as the template has it.

    Raises:
        RequestError: a value of the wrong type or out of range; `param` names it.
    """

    thinking: bool | None = None
    reasoning_budget: int | None = None
    reasoning_closing: str = CLOSING
    reasoning_effort: str | None = None

    @classmethod
    def split(cls, options: Mapping[str, Any]) -> tuple[Thinking, dict[str, Any]]:
        """What the options of a call say about it, and the other options."""
        rest = dict(options)
        names = ("thinking", "reasoning_budget", "reasoning_closing", EFFORT)
        return cls(**{name: rest.pop(name) for name in names if name in rest}), rest

    def __post_init__(self) -> None:
        if self.thinking is not None:
            object.__setattr__(self, "thinking", check_flag("thinking", self.thinking))
        budget: object = self.reasoning_budget
        if budget is not None:
            if not is_whole(budget) or not 0 <= budget <= _MAX_BUDGET:
                expected = f"a whole number from 0 to {_MAX_BUDGET}, or None"
                raise RequestError("reasoning_budget", expected=expected, got=repr(budget))
            object.__setattr__(self, "reasoning_budget", int(budget))
        check_text(self.reasoning_closing, "reasoning_closing")
        effort: object = self.reasoning_effort
        if effort is not None and not (isinstance(effort, str) and _WORD.fullmatch(effort)):
            expected = "a word such as low, medium or high, or None"
            raise RequestError(EFFORT, expected=expected, got=repr(effort))

    def variables(self, known: frozenset[str]) -> dict[str, bool | str]:
        """What a template is told that reads these variables."""
        told: dict[str, bool | str] = {}
        if self.thinking is not None:
            told |= {name: self.thinking for name in SWITCHES if name in known}
            if not told and EFFORT in known:
                told[EFFORT] = "medium" if self.thinking else "low"
        return told if self.reasoning_effort is None else told | {EFFORT: self.reasoning_effort}

    def check(self, marks: tuple[str, str] | None, known: frozenset[str]) -> None:
        """A word where something has no effect, as far as the template says.

        Raises:
            RequestError: an effort that the template does not read; `param` names it.
        """
        if self.reasoning_effort is not None and EFFORT not in known:
            expected = "a model whose chat template reads it"
            hint = "thinking= and reasoning_budget= are for others"
            raise RequestError(EFFORT, expected=expected, got=self.reasoning_effort, hint=hint)
        if self.thinking is not None and not self.variables(known):
            log.warning(
                "thinking=%s has no effect: the chat template has no switch for it", self.thinking
            )
        if self.reasoning_budget is not None and marks is None:
            log.warning("reasoning_budget has no effect: the chat template knows no thoughts")


def marks_of(template: str) -> tuple[str, str] | None:
    """Between which texts the thoughts of a template's model stand; None where it has none."""
    return next((marks for marks in MARKS if max(marks, key=len) in template), None)


def is_open(prompt: str, marks: tuple[str, str] | None) -> bool:
    """Whether a prompt ends within a thought, so that the answer begins there."""
    return marks is not None and prompt.rstrip().endswith(marks[0])
