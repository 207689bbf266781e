"""A response's text or thoughts as they grow, as typed events with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halfbyte.server.openai.response_shapes import (
    Item,
    message_item,
    reasoning_item,
    text_part,
    thought_part,
)
from halfbyte.server.reply import dumps, event


class NumberedEvents:
    """Makes events of which each has the next number."""

    def __init__(self) -> None:
        self._n = 0

    def next(self) -> int:
        """The number of the next event."""
        self._n += 1
        return self._n - 1

    def made(self, kind: str, **fields: Any) -> bytes:
        """An event."""
        return event({"type": kind, "sequence_number": self.next(), **fields}, kind)


class GrowingItem:
    """An item of one part.

    Args:
        kind: "content" or "reasoning".
        made: its id.
        index: its place in the output.
        events: what makes the response's events.
        is_summary: whether thoughts are told as a summary.
    """

    def __init__(
        self, kind: str, made: str, index: int, events: NumberedEvents, *, is_summary: bool = False
    ) -> None:
        self.kind, self._made, self._index, self._events = kind, made, index, events
        self._is_summary = is_summary
        self._texts: list[str] = []
        self._told: list[Any] = []
        self._where = {"item_id": made, "output_index": index, self._counter: 0}
        name = self._named("delta")
        head = dumps({"type": name, **self._where})[:-1]
        self._head = b"event: %b\ndata: %b" % (name.encode(), head)

    def begin(self) -> bytes:
        """The item and its part are there."""
        made = self._events.made
        item = self._item(None, "in_progress", ())
        return made("response.output_item.added", output_index=self._index, item=item) + made(
            self._part_event("added"), **self._where, part=self._part("", ())
        )

    def grow(self, text: str, told: Sequence[Any] = ()) -> bytes:
        """More of it; `told` are the probabilities of its tokens."""
        self._texts.append(text)
        self._told += told
        logprobs = b',"logprobs":%b' % dumps(list(told)) if self.kind == "content" else b""
        return b'%b,"delta":%b%b,"sequence_number":%d}\n\n' % (
            self._head, dumps(text), logprobs, self._events.next(),
        )  # fmt: skip

    def end(self, status: str) -> bytes:
        """It is whole."""
        made, text = self._events.made, "".join(self._texts)
        more = {"logprobs": self._told} if self.kind == "content" else {}
        return b"".join([
            made(self._named("done"), **self._where, text=text, **more),
            made(self._part_event("done"), **self._where, part=self._part(text, self._told)),
            made("response.output_item.done", output_index=self._index, item=self.item(status)),
        ])  # fmt: skip

    def item(self, status: str) -> Item:
        """It as it is now."""
        return self._item("".join(self._texts), status, self._told)

    @property
    def _counter(self) -> str:
        return "summary_index" if self._is_summary else "content_index"

    def _named(self, what: str) -> str:
        if self.kind == "content":
            return f"response.output_text.{what}"
        return f"response.reasoning_{'summary_text' if self._is_summary else 'text'}.{what}"

    def _part_event(self, what: str) -> str:
        return f"response.{'reasoning_summary' if self._is_summary else 'content'}_part.{what}"

    def _part(self, text: str, told: Sequence[Any]) -> dict[str, Any]:
        if self.kind == "content":
            return text_part(text, told)
        return thought_part(text, is_summary=self._is_summary)

    def _item(self, text: str | None, status: str, told: Sequence[Any]) -> Item:
        if self.kind == "content":
            return message_item(self._made, text, status, told)
        return reasoning_item(self._made, text, status, is_summary=self._is_summary)
