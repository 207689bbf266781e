"""What changes with every turn is taken out of instructions, and of nothing else."""

from __future__ import annotations

import re

from halfbyte.server.ask import Ask
from halfbyte.server.dropped import without

DATE = [re.compile(r"Today is .*\.\n")]
TEXT, PLAIN = "You code.\nToday is Friday.\nBe brief.", "You code.\nBe brief."


def test_instructions_lose_it() -> None:
    messages = [
        {"role": "system", "content": TEXT},
        {"role": "developer", "content": [{"type": "text", "text": TEXT}, {"type": "other"}]},
        {"role": "user", "content": TEXT},
    ]
    asked = without(Ask("chat", (messages,), {"seed": 1}), DATE)
    system, developer, user = asked.arguments[0]
    assert system["content"] == developer["content"][0]["text"] == PLAIN
    assert user["content"] == messages[0]["content"] == TEXT
    assert asked.options == {"seed": 1}


def test_prompts_lose_it_and_files_do_not() -> None:
    assert without(Ask("complete", (TEXT,)), DATE).arguments == (PLAIN,)
    assert without(Ask("complete", ([TEXT, "x"],)), DATE).arguments == ([PLAIN, "x"],)
    for asked in (Ask("complete", ([1, 2],)), Ask("infill", (TEXT, TEXT)), Ask("complete", ([],))):
        assert without(asked, DATE) == asked
