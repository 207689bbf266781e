"""Answers as Ollama's clients read them: lines of a stream, the last one with timings, or one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timezone
from itertools import groupby
from typing import Any

from halfbyte.generation.chat_completion import ChatCompletion, Part, ToolCall
from halfbyte.generation.completion import Completion
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.server.exchange import Answer, Exchange
from halfbyte.server.fault import Fault, fault_of
from halfbyte.server.reply import dumps

CALL_PREFIX = "call_"
_NS = 1_000_000_000
Finish = Callable[[Completion], Awaitable[dict[str, Any]]]


class OllamaAnswer:
    """The shape of the answer to one request.

    Args:
        exchange: what it belongs to.
        name: of the model, as it was asked for.
        load_s: how long the model was waited for.
        is_chat: whether the text stands in a message.
        has_logprobs: whether the tokens' probabilities are told.
        finish: what else the last line has.
    """

    def __init__(
        self,
        exchange: Exchange,
        name: str,
        load_s: float,
        *,
        is_chat: bool,
        has_logprobs: bool = False,
        finish: Finish | None = None,
    ) -> None:
        self._exchange, self._name, self._load_s = exchange, name, load_s
        self._is_chat, self._has_logprobs, self._finish = is_chat, has_logprobs, finish
        self._head = dumps({"model": name})[:-1] + b',"created_at":"'
        before, self._after = (b'"message":{"role":"assistant",', b"}") if is_chat else (b"", b"")
        empty = b'"content":"",' if is_chat else b'"response":"",'
        key = b'"content":' if is_chat else b'"response":'
        self._before = {"content": before + key, "reasoning": before + empty + b'"thinking":'}

    def empty(self, reason: str) -> dict[str, Any]:
        """The answer to a request that only loads or unloads a model."""
        said = {"message": _message("")} if self._is_chat else {"response": ""}
        return {
            "model": self._name, "created_at": now(), **said, "done": True, "done_reason": reason,
        }  # fmt: skip

    async def whole(self, done: Completion) -> dict[str, Any]:
        """An answer that does not come piece by piece."""
        thoughts = done.reasoning if isinstance(done, ChatCompletion) else ""
        calls = done.tool_calls if isinstance(done, ChatCompletion) else ()
        if self._is_chat:
            said: dict[str, Any] = {"message": _message(done.text, thoughts, calls)}
        else:
            said = {"response": done.text, **({"thinking": thoughts} if thoughts else {})}
        if self._has_logprobs:
            said["logprobs"] = list(map(_logprob, done.logprobs or ()))
        return await self._last(done, said)

    async def lines(self, answer: Answer) -> AsyncIterator[bytes]:
        """The lines of a stream, those that wait together."""
        n_calls = n_logprobs = 0
        try:
            async for batch in answer:
                lines = [*self._pieces([part for _, part in batch])]
                calls = answer.tool_calls(0)
                lines += [self._calls(calls[n_calls:], n_calls)] if len(calls) > n_calls else []
                n_calls = len(calls)
                if self._has_logprobs and lines:
                    new = answer.logprobs(0)[n_logprobs:]
                    n_logprobs += len(new)
                    lines[-1] = _with(lines[-1], "logprobs", list(map(_logprob, new)))
                if lines:
                    yield b"".join(lines)
            done = answer.completions[0]
            late = done.tool_calls[n_calls:] if isinstance(done, ChatCompletion) else ()
            lines = [self._calls(late, n_calls)] if late else []
            said: dict[str, Any] = {"message": _message("")} if self._is_chat else {"response": ""}
            if self._has_logprobs and (new := (done.logprobs or [])[n_logprobs:]):
                said["logprobs"] = list(map(_logprob, new))
            yield b"".join([*lines, dumps(await self._last(done, said)), b"\n"])
        except Exception as failed:
            yield dumps(error(fault_of(failed))) + b"\n"

    def _pieces(self, parts: Sequence[Part]) -> list[bytes]:
        """A line for each run of one kind; calls come when they are whole."""
        lines = []
        head = self._head + now().encode() + b'",'
        for kind, run in groupby(parts, lambda part: part.kind):
            if kind != "tool_call":
                text = dumps("".join(part.text for part in run))
                lines.append(
                    b'%b%b%b%b,"done":false}\n' % (head, self._before[kind], text, self._after)
                )
        return lines

    def _calls(self, calls: Sequence[ToolCall], n_before: int) -> bytes:
        message = _message("", "", calls, n_before)
        return dumps(
            {"model": self._name, "created_at": now(), "message": message, "done": False}
        ) + b"\n"  # fmt: skip

    async def _last(self, done: Completion, said: dict[str, Any]) -> dict[str, Any]:
        more = {} if self._finish is None else await self._finish(done)
        reason = "stop" if done.finish_reason in ("stop", "tool_calls") else "length"
        return {
            "model": self._name, "created_at": now(), **said, "done": True, "done_reason": reason,
            **more,
            "total_duration": _ns(time.monotonic() - self._exchange.begun_s),
            "load_duration": _ns(self._load_s),
            "prompt_eval_count": done.stats.n_prompt,
            "prompt_eval_duration": _ns(done.stats.prefill_s),
            "eval_count": len(done.tokens),
            "eval_duration": _ns(done.stats.decode_s),
        }  # fmt: skip


def error(fault: Fault) -> object:
    """A fault as Ollama's clients read it, some of which look for "not found"."""
    is_model = fault.kind == "not_found" and fault.param == "model"
    return {"error": f"model not found: {fault.message}" if is_model else fault.message}


def now() -> str:
    """The time, as RFC 3339 has it."""
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


def _message(
    text: str, thoughts: str = "", calls: Sequence[ToolCall] = (), n_before: int = 0
) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": text}
    if thoughts:
        made["thinking"] = thoughts
    if calls:
        made["tool_calls"] = [
            {
                "id": f"{CALL_PREFIX}{call.id}",
                "function": {
                    "index": n_before + i, "name": call.name, "arguments": dict(call.arguments),
                },
            }
            for i, call in enumerate(calls)
        ]  # fmt: skip
    return made


def _logprob(told: TokenLogprob) -> dict[str, Any]:
    top = [
        {"token": _text(one.bytes), "logprob": _finite(one.logprob), "bytes": list(one.bytes)}
        for one in told.top
    ]
    return {
        "token": _text(told.bytes), "logprob": _finite(told.logprob), "bytes": list(told.bytes),
        **({"top_logprobs": top} if top else {}),
    }  # fmt: skip


def _finite(logprob: float | None) -> float:
    """JSON has no infinity."""
    return max(logprob or 0.0, -9999.0)


def _text(spelled: bytes) -> str:
    return spelled.decode(errors="replace")


def _with(line: bytes, key: str, value: object) -> bytes:
    """A line with one more field."""
    return b'%b,"%b":%b}\n' % (line[:-2], key.encode(), dumps(value))


def _ns(seconds: float) -> int:
    return int(seconds * _NS)
