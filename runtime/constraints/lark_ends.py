"""Rules of a Lark grammar that no finite text meets.

llguidance looks for the text that such a rule forces without end. So they are told before, as far
as the grammar can be read here: what cannot is left to llguidance, which says what is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from halfbyte.constraints.lark_rules import LarkRules


def endless_rules(rules: LarkRules) -> list[str]:
    """The rules that `start` leads to and that have no end, in order."""
    known = ending(rules.productions)
    reached = _reached(rules.productions)
    return [name for name in rules.names if name in reached and name not in known]


def ending(productions: Iterable[tuple[str, frozenset[str]]]) -> set[str]:
    """What has a production all of whose parts have an end, each of them looked at once."""
    found, left, users = list[str](), {}, defaultdict(list)
    known: set[str] = set()
    for i, (head, parts) in enumerate(productions):
        left[i] = len(parts)
        for part in parts:
            users[part].append((i, head))
        if not parts:
            found.append(head)
    while found:
        head = found.pop()
        if head in known:
            continue
        known.add(head)
        for i, user in users[head]:
            left[i] -= 1
            if not left[i]:
                found.append(user)
    return known


def _reached(productions: Iterable[tuple[str, frozenset[str]]]) -> set[str]:
    parts_of: defaultdict[str, set[str]] = defaultdict(set)
    for head, parts in productions:
        parts_of[head] |= parts
    reached, left = set[str](), ["start"]
    while left:
        name = left.pop()
        if name not in reached:
            reached.add(name)
            left += parts_of[name]
    return reached
