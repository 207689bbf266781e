"""How long a text a constraint may force: with counted repetitions and its rules written out.

A text that is forced is followed to its end at once, in time that grows with the square of its
length, while nothing else runs. `(a{1000}){1000}` is one, and so is a rule that has another one
twice, which has another one twice, and so on.
"""

from __future__ import annotations

import re

from halfbyte.errors import RequestError

MAX_NCHARS = 1 << 15
_REGEX = re.compile(
    r"""
    (?P<escape>\\(?:[pP]\{[^}]{0,64}\}|x\{[^}]{0,64}\}|.))
    | \{\s{0,64}(?P<least>\d{1,12})\s{0,64}(?:,\s{0,64}\d{0,12}\s{0,64})?\}
    | (?P<one>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def check_length(name: str, n: int, where: str = "") -> None:
    """Refuse what forces a text of n characters, if that is too long.

    Args:
        name: the argument that it came by.
        n: see `length_of`.
        where: a part of it.

    Raises:
        RequestError: `name` names it.
    """
    if n > MAX_NCHARS:
        expected = f"at most {MAX_NCHARS:,} characters in a row, counted repetitions written out"
        raise RequestError(name, expected=expected, got=f"{n:,}{where and f' in {where}'}")


def length_of(regex: str) -> int:
    """Characters of a regular expression, with repetitions as often as they come at least.

    Of alternatives the longest counts.
    """
    longest, sums, last = [0], [0], 0  # of the groups that are open, and what a count stands behind
    set_from = -1  # where one begins that is open: it is one character
    for part in _REGEX.finditer(regex):
        one, count = part["one"], part["least"]
        if set_from >= 0:
            if one == "]" and regex[set_from : part.start()] not in ("[", "[^"):
                set_from = -1
        elif count:
            sums[-1] += last * (max(int(count), 1) - 1)
            last *= max(int(count), 1)
        elif one == "(":
            sums.append(0)
            longest.append(0)
        elif one == ")" and len(sums) > 1:
            last = max(longest.pop(), sums.pop())
            sums[-1] += last
        elif one == "|":
            longest[-1], sums[-1] = max(longest[-1], sums[-1]), 0
        elif one not in ("*", "+", "?"):  # before which stands what keeps its length
            set_from = part.start() if one == "[" else -1
            last = 1
            sums[-1] += last
    return sum(map(max, longest, sums))
