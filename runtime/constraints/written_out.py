"""How long a regular expression or grammar is with its counted repetitions written out.

A text that is forced is followed to its end at once, in time that grows with the square of its
length, and `(a{1000}){1000}` is one. So what is counted is bounded as what is written is.
"""

from __future__ import annotations

import re

from halfbyte.errors import RequestError

MAX_NCHARS = 1 << 16
_OF_REGEX = r"""
    (?P<escape>\\(?:[pP]\{[^}]{0,64}\}|x\{[^}]{0,64}\}|.))
    | \{\s{0,64}(?P<least>\d{1,12})\s{0,64}(?:,\s{0,64}\d{0,12}\s{0,64})?\}
    | (?P<one>.)
"""
_OF_GRAMMAR = r"""(?P<text>"(?:\\.|[^"\\\n])*") | ~\s{0,64}(?P<times>\d{1,12}) |"""
_REGEX = re.compile(_OF_REGEX, re.VERBOSE | re.DOTALL)
_GRAMMAR = re.compile(_OF_GRAMMAR + _OF_REGEX, re.VERBOSE | re.DOTALL)


def check_counts(name: str, text: str, *, has_texts: bool = False) -> None:
    """Refuse what is too long so.

    Args:
        name: the argument that it came by.
        text: a regular expression, or a grammar.
        has_texts: whether what stands in double quotes is a text.

    Raises:
        RequestError: `name` names it.
    """
    n = length_of(text, has_texts=has_texts)
    if n > max(MAX_NCHARS, len(text)):
        expected = f"at most {MAX_NCHARS:,} characters with its counted repetitions written out"
        raise RequestError(name, expected=expected, got=n)


def length_of(text: str, *, has_texts: bool = False) -> int:
    """Characters, with repetitions as often as they come at least; of alternatives all count."""
    sums, last = [0], 0  # of the groups that are open, and what a count stands behind
    set_from = -1  # where one begins that is open: it is one character
    for part in (_GRAMMAR if has_texts else _REGEX).finditer(text):
        one, count = part["one"], part["least"] or (has_texts and part["times"])
        if set_from >= 0:
            if one == "]" and text[set_from : part.start()] not in ("[", "[^"):
                set_from = -1
        elif count:
            sums[-1] += last * (max(int(count), 1) - 1)
            last *= max(int(count), 1)
        elif one == "(":
            sums.append(0)
        elif one == ")" and len(sums) > 1:
            last = sums.pop()
            sums[-1] += last
        elif one in ("*", "+", "?", "|"):
            pass  # what stands before keeps its length
        elif one in (" ", "\t"):
            sums[-1] += 1
        else:
            set_from = part.start() if one == "[" else -1
            last = 1 if part["escape"] else len(part[0])
            sums[-1] += last
    return sum(sums)
