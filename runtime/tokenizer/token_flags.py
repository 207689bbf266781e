"""What special tokens take of the text beside them, as the `tokenizers` package does."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from halfbyte.call_arguments import is_whole
from halfbyte.errors import RequestError

# Unicode's White_Space.
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_RUN = re.compile(f"[{_SPACES}]*")
_LETTER = re.compile(r"\w")
_Span = tuple[int, int]


class TokenFlags:
    """The flags of tokens: which have "lstrip", "rstrip" and "single_word"."""

    def __init__(self, flags: Mapping[str, tuple[int, ...]]) -> None:
        self._of = {flag: frozenset(ids) for flag, ids in flags.items() if flag != "normalized"}

    def taken(self, token: int, text: str, span: _Span, done: int) -> _Span | None:
        """The span of a token that was found, with the whitespace that it takes.

        None where it is no word of its own and would have to be. One that begins in the whitespace
        that another took, up to `done`, begins there.
        """
        begin, end = span
        if not self._of:
            return span
        if self._has("single_word", token):
            before, after = _LETTER.match(text, max(begin - 1, 0), begin), _LETTER.match(text, end)
            if before or after:
                return None
        if self._has("lstrip", token):
            begin = done + len(text[done : max(begin, done)].rstrip(_SPACES))
        if self._has("rstrip", token):
            run = _RUN.match(text, end)
            end = run.end() if run else end
        return max(begin, done), max(end, done)

    def _has(self, flag: str, token: int) -> bool:
        return token in self._of.get(flag, ())


def checked_spans(spans: Iterable[_Span]) -> list[_Span]:
    """Parts of a text, as a list; RequestError where they are none."""
    try:
        checked = [(begin, end) for begin, end in spans]
    except (TypeError, ValueError):  # not iterable, or not in pairs
        checked = [(-1, -1)]
    if not all(is_whole(at) and at >= 0 for span in checked for at in span):
        raise RequestError("spans", expected="pairs of a begin and an end", got=repr(spans))
    return checked
