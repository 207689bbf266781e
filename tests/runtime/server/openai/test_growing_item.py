"""An item of a response from its beginning to its end."""

from __future__ import annotations

import json
from typing import Any

from halfbyte.server.openai.growing_item import GrowingItem, NumberedEvents


def _read(events: bytes) -> list[dict[str, Any]]:
    told = []
    for one in events.decode().split("\n\n")[:-1]:
        name, data = one.split("\n")
        told.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {told[-1]['type']}"
    return told


def test_pieces_add_up() -> None:
    numbered = NumberedEvents()
    numbered.next()
    item = GrowingItem("content", 'an "id"', 3, numbered)
    begun, grown = _read(item.begin()), _read(item.grow('a"é') + item.grow("b", ["told"]))
    assert begun[0]["item"]["content"] == [] and begun[1]["part"]["text"] == ""
    assert [one["delta"] for one in grown] == ['a"é', "b"]
    assert {one["item_id"] for one in grown} == {'an "id"'} and grown[1]["logprobs"] == ["told"]
    text, part, done = _read(item.end("incomplete"))
    assert text["text"] == part["part"]["text"] == done["item"]["content"][0]["text"] == 'a"éb'
    assert text["logprobs"] == done["item"]["content"][0]["logprobs"] == ["told"]
    assert done["item"] == item.item("incomplete") and done["output_index"] == 3
    numbers = [one["sequence_number"] for one in (*begun, *grown, text, part, done)]
    assert numbers == list(range(1, 8))


def test_thoughts_are_a_text_or_a_summary() -> None:
    for is_summary, counter in ((False, "content_index"), (True, "summary_index")):
        item = GrowingItem("reasoning", "r", 0, NumberedEvents(), is_summary=is_summary)
        item.begin()
        (grown,) = _read(item.grow("hm"))
        assert grown[counter] == 0 and "logprobs" not in grown
        assert item.item("completed")["summary" if is_summary else "content"][0]["text"] == "hm"
