"""A chat's answers as a stream of chunks.

What is constant in a chunk is made once: most of a server's work for a token is this.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any

from halfbyte.generation.chat_completion import ChatCompletion, Part, ToolCall
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.server.exchange import Answer
from halfbyte.server.fault import fault_of
from halfbyte.server.openai.chat_asking import chat_errors, chat_name
from halfbyte.server.openai.chat_fields import ChatFields
from halfbyte.server.openai.chat_shapes import call_shape, chat_usage, logprobs_shape
from halfbyte.server.openai.shapes import finish_reason, stream_error
from halfbyte.server.reply import DONE, dumps, event
from halfbyte.server.served_model import ServedModel
from halfbyte.server.timings import timings

_KEYS = {"content": b"content", "reasoning": b"reasoning_content"}


class ChatChunks:
    """The events of one request.

    First comes each answer's role, then content and thoughts as they come; a call of a function is
    one delta, once it is whole. Where probabilities are asked for, the tokens of a chunk are those
    since the last one.
    """

    def __init__(self, model: ServedModel, shell: dict[str, Any], asked: ChatFields) -> None:
        self._model, self._shell, self._asked = model, shell, asked
        self._has_usage = bool(asked.stream_options and asked.stream_options.include_usage)
        self._n = asked.n or 1
        self._n_calls, self._n_told = [0] * self._n, [0] * self._n
        self._head = b"data: %b" % dumps(shell)[:-1]
        self._tail = b',"usage":null}\n\n' if self._has_usage else b"}\n\n"

    async def events(self, answer: Answer) -> AsyncIterator[bytes]:
        """What to send, whatever goes wrong."""
        is_begun = False
        try:
            with chat_errors(self._model, partial(chat_name, self._asked)):
                async for batch in answer:
                    begin = b"" if is_begun else self._roles()
                    is_begun = True
                    yield begin + b"".join(self._pieces(answer, batch))
                yield (b"" if is_begun else self._roles()) + self._end(answer)
        except Exception as error:
            yield stream_error(fault_of(error))

    def _roles(self) -> bytes:
        role = b'{"role":"assistant","content":"","refusal":null}'
        return b"".join(self._chunk(i, role) for i in range(self._n))

    def _pieces(self, answer: Answer, batch: Sequence[tuple[int, Part]]) -> Iterator[bytes]:
        for (i, kind), parts in groupby(batch, lambda one: (one[0], one[1].kind)):
            if kind in _KEYS:
                text = dumps("".join(part.text for _, part in parts))
                yield self._chunk(i, b'{"%b":%b}' % (_KEYS[kind], text), self._logprobs(answer, i))
        if self._asked.tools:
            for i in sorted({i for i, _ in batch}):
                yield from self._calls(i, answer.tool_calls(i))

    def _calls(self, i: int, calls: Sequence[ToolCall]) -> Iterator[bytes]:
        """Those that were not told of yet."""
        for at in range(self._n_calls[i], len(calls)):
            delta = {"tool_calls": [{"index": at, **call_shape(calls[at])}]}
            yield self._chunk(i, dumps(delta))
        self._n_calls[i] = len(calls)

    def _end(self, answer: Answer) -> bytes:
        done = answer.completions
        events: list[bytes] = []
        for i, one in enumerate(done):
            one.check_calls()
            events += self._calls(i, one.tool_calls)
            reason = dumps(finish_reason(one))
            last = self._chunk(i, b"{}", self._logprobs(answer, i, one.logprobs), reason)
            if i == len(done) - 1 and not self._has_usage:
                last = b'%b,"timings":%b}\n\n' % (last[:-3], dumps(self._timings(done)))
            events.append(last)
        if self._has_usage:
            is_predicted = self._asked.prediction is not None
            usage = chat_usage(self._model, done, is_predicted=is_predicted)
            told = {"usage": usage, "timings": self._timings(done)}
            events.append(event({**self._shell, "choices": [], **told}))
        return b"".join([*events, DONE])

    def _timings(self, done: Sequence[ChatCompletion]) -> dict[str, float]:
        return timings(done[0].stats, len(done[0].tokens))

    def _logprobs(
        self, answer: Answer, i: int, told: Sequence[TokenLogprob] | None = None
    ) -> bytes:
        if not self._asked.logprobs:
            return b"null"
        told = answer.logprobs(i) if told is None else told
        new, self._n_told[i] = told[self._n_told[i] :], len(told)
        return dumps(logprobs_shape(new)) if new else b"null"

    def _chunk(
        self, i: int, delta: bytes, logprobs: bytes = b"null", reason: bytes = b"null"
    ) -> bytes:
        return b'%b,"choices":[{"index":%d,"delta":%b,"logprobs":%b,"finish_reason":%b}]%b' % (
            self._head, i, delta, logprobs, reason, self._tail,
        )  # fmt: skip
