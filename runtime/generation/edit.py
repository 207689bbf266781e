"""What a next edit gives: a change of a text, and where to go for it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from halfbyte.generation.completion import Completion
from halfbyte.lazy_dataclass import dataclass
from halfbyte.results import shown


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Edit(Completion):
    """A change that a model proposes; an empty one where it proposes none.

    Offsets are in characters. Nothing outside of `start` and `end` changes.

    Attributes:
        text: what stands in place of the characters from `start` to `end`.
        start, end: what is replaced; the same where something is only inserted.
        jump: where to go, an offset in `full_text`: where the model puts the cursor, or the first
            line that changes, if it is not the cursor's; None: stay.
        format: the layout of the prompt; "fim": the model knows no edits and infilled at the
            cursor.
        original: the text as it was given.
        answer: what the model wrote, in its format.
        left_out: what of the request it was not shown, in words.
    """

    start: int
    end: int
    jump: int | None
    format: str
    original: str
    answer: str
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, done: Completion, text: str, **facts: Any) -> Edit:
        """The result of the generation `done`, whose text is the answer."""
        values = {field.name: getattr(done, field.name) for field in fields(done)}
        return cls(**{**values, "text": text}, answer=done.text, **facts)

    @property
    def full_text(self) -> str:
        """The whole text, with the change made."""
        return self.original[: self.start] + self.text + self.original[self.end :]

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return self.text == self.original[self.start : self.end]

    def __repr__(self) -> str:
        place = f"{self.start}:{self.end} -> {shown(self.text)}"
        facts = f"format={self.format!r}, jump={self.jump}, {len(self.tokens)} tokens"
        return f"Edit({place}, {facts})"
