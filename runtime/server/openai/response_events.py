"""A response as a stream of typed events.

Source of their order: https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from halfbyte.generation.chat_completion import ChatCompletion, Part, ToolCall
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.server.exchange import Answer
from halfbyte.server.fault import Fault, fault_of
from halfbyte.server.openai.chat_asking import chat_errors
from halfbyte.server.openai.chat_shapes import logprobs_shape
from halfbyte.server.openai.growing_item import GrowingItem, NumberedEvents
from halfbyte.server.openai.response_asking import response_name
from halfbyte.server.openai.response_fields import ResponseFields
from halfbyte.server.openai.response_shapes import (
    Item,
    call_item,
    ended,
    item_id,
    needs_message,
    status_of,
)
from halfbyte.server.openai.shapes import error
from halfbyte.server.served_model import ServedModel


class ResponseEvents:
    """The events of one request: items one after another, each from its beginning to its end.

    A call of a function comes when it is whole; text after one is another message.
    """

    def __init__(
        self, model: ServedModel, shell: dict[str, Any], asked: ResponseFields, request_id: str
    ) -> None:
        self._model, self._shell, self._asked = model, shell, asked
        self._request_id = request_id
        self._events = NumberedEvents()
        self._open: GrowingItem | None = None
        self._output: list[Item] = []
        self._n_calls = self._n_told = 0
        self._is_calling = False  # a call has begun, whose end is not known

    async def events(self, answer: Answer) -> AsyncIterator[bytes]:
        """What to send, whatever goes wrong."""
        event = self._events.made
        yield b"".join(
            event(f"response.{kind}", response=self._shell) for kind in ("created", "in_progress")
        )
        try:
            with chat_errors(self._model, partial(response_name, self._asked)):
                async for batch in answer:
                    yield b"".join(self._pieces(answer, batch))
                ends, response = b"".join(self._ends(answer)), self._response(answer)
                yield ends + event(f"response.{response['status']}", response=response)
        except Exception as failure:
            yield self._failed(fault_of(failure))

    async def whole(self, answer: Answer) -> dict[str, Any]:
        """The response at its end: the same items, for who did not want to see them grow.

        Raises:
            HalfbyteError: as `Model.chat`.
        """
        async for batch in answer:
            for _ in self._pieces(answer, batch):
                pass
        for _ in self._ends(answer):
            pass
        return self._response(answer)

    def _pieces(self, answer: Answer, batch: Sequence[tuple[int, Part]]) -> Iterator[bytes]:
        for kind, parts in groupby((part for _, part in batch), lambda part: part.kind):
            if kind == "tool_call" or self._is_calling:
                self._is_calling = kind == "tool_call"
                yield from self._calls(answer.tool_calls(0))
            if kind == "tool_call":
                continue
            yield from self._growing(kind)
            assert self._open is not None
            told = self._told(answer.logprobs(0)) if kind == "content" else ()
            yield self._open.grow("".join(part.text for part in parts), told)

    def _growing(self, kind: str) -> Iterator[bytes]:
        """See to it that an item of this kind is open."""
        if self._open is not None and self._open.kind == kind:
            return
        yield from self._close("completed")
        index = len(self._output)
        made = item_id("rs" if kind == "reasoning" else "msg", self._request_id, index)
        is_summary = kind == "reasoning" and self._asked.has_summary
        self._open = GrowingItem(kind, made, index, self._events, is_summary=is_summary)
        yield self._open.begin()

    def _close(self, status: str) -> Iterator[bytes]:
        if self._open is not None:
            yield self._open.end(status)
            self._output.append(self._open.item(status))
            self._open = None

    def _calls(self, calls: Sequence[ToolCall]) -> Iterator[bytes]:
        """Those that were not told of yet."""
        for call in calls[self._n_calls :]:
            yield from self._close("completed")
            index = len(self._output)
            made = item_id("fc", self._request_id, index)
            item, event = call_item(made, self._asked, call), self._events.made
            begun = call_item(made, self._asked, call, is_begun=True)
            where = {"item_id": made, "output_index": index}
            arguments = item["arguments"]
            yield event("response.output_item.added", output_index=index, item=begun)
            yield event("response.function_call_arguments.delta", **where, delta=arguments)
            yield event(
                "response.function_call_arguments.done", **where, name=item["name"],
                arguments=arguments,
            )  # fmt: skip
            yield event("response.output_item.done", output_index=index, item=item)
            self._output.append(item)
        self._n_calls = len(calls)

    def _ends(self, answer: Answer) -> Iterator[bytes]:
        """The end of the last item, and those items that there is no other sign of."""
        done: ChatCompletion = answer.completions[0]
        yield from self._calls(done.tool_calls)
        if not self._output and self._open is None and needs_message(done):
            yield from self._growing("content")
        left = self._told(answer.logprobs(0))
        if left and self._open is not None and self._open.kind == "content":
            yield self._open.grow("", left)
        yield from self._close(status_of(done))

    def _response(self, answer: Answer) -> dict[str, Any]:
        return ended(self._shell, self._model, answer.completions[0], self._output)

    def _told(self, told: Sequence[TokenLogprob]) -> Sequence[Any]:
        """Probabilities that were not told of yet."""
        if not self._asked.has_logprobs:
            return ()
        new, self._n_told = told[self._n_told :], len(told)
        shown: list[Any] = logprobs_shape(new)["content"]
        return shown

    def _failed(self, fault: Fault) -> bytes:
        told: Any = error(fault)
        facts = {name: told["error"][name] for name in ("code", "message", "param")}
        failure = {"code": facts["code"] or "server_error", "message": facts["message"]}
        shell = {**self._shell, "status": "failed", "error": failure, "output": self._output}
        event = self._events.made
        return event("error", **facts) + event("response.failed", response=shell)
