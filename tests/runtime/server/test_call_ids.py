"""Ids of calls: nine letters and digits, equal where they were."""

from __future__ import annotations

import re

from halfbyte.server.call_ids import plain_id


def test_our_own_lose_their_prefix_and_foreign_ones_become_plain() -> None:
    assert plain_id("toolu_abcDEF123", "toolu_") == plain_id("abcDEF123", "toolu_") == "abcDEF123"
    foreign = [
        plain_id(given, "call_") for given in ("toolu_01D7FLrfh4GY", "toolu_01D7FLrfh4GZ", "")
    ]
    assert len(set(foreign)) == 3 and all(re.fullmatch("[0-9a-f]{9}", one) for one in foreign)
    assert plain_id("toolu_01D7FLrfh4GY", "call_") == foreign[0]
