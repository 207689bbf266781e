"""The text of an answer that is to be code: it ends where its block is complete and parses."""

from __future__ import annotations

from halfbyte.generation.shown_text import ShownText
from halfbyte.generation.syntax.python_middle import PythonMiddle
from halfbyte.generation.syntax.python_scope import PythonScope


class CodeText(ShownText):
    """What another text shows, up to the last end of a line at which the whole parses.

    The rest is held back until it does. An answer that ends within something that does not parse is
    cut there, if there is such a place; where there is none, all of it is shown.

    Attributes:
        ended_by: "syntax" where it does not parse, and will not.
    """

    def __init__(self, inner: ShownText, middle: PythonMiddle) -> None:
        super().__init__()
        self._inner, self._middle = inner, middle

    def push(self, piece: str) -> bool:
        """Take more; True where the text ends within it."""
        is_over = self._inner.push(piece)
        middle, text = self._middle, self._inner.text
        middle.look(text)
        if middle.end >= 0:
            self.text = text[: middle.end] + middle.fill
            return True
        if is_over or middle.is_hopeless:
            self.finish()
            return True
        if middle.good >= 0:
            self.text = text[: middle.good]
        return False

    def finish(self) -> None:
        """Nothing more comes: show what parses, or all."""
        self._inner.finish()
        middle, text = self._middle, self._inner.text
        self.trimmed = self._inner.trimmed
        self.ended_by, self.stop_text = self._inner.ended_by, self._inner.stop_text
        if middle.takes(text):
            self.text = text
            return
        good = middle.last_good(text)
        if good > 0:
            self.text, self.trimmed = text[:good] + middle.fill, ""
        else:
            self.text, self.ended_by = text, "syntax"


def between(prefix: str, suffix: str, inner: ShownText) -> CodeText | None:
    """What takes the text between these two; None where nothing there would parse."""
    scope = PythonScope.of(prefix, suffix)
    return None if scope is None else CodeText(inner, PythonMiddle(scope))
