"""The answers of a chat as OpenAI's clients read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halfbyte.generation.chat_completion import ChatCompletion, ToolCall
from halfbyte.generation.probabilities import TokenLogprob, TopToken
from halfbyte.server.openai.shapes import finish_reason, guess_details, usage
from halfbyte.server.reply import dumps
from halfbyte.server.served_model import ServedModel

_LEAST = -9999.0  # what OpenAI has for a probability of none


def chat_choice(i: int, done: ChatCompletion, *, has_logprobs: bool) -> dict[str, Any]:
    """A whole answer."""
    message: dict[str, Any] = {"role": "assistant", "content": done.text, "refusal": None}
    if done.reasoning:
        message["reasoning_content"] = done.reasoning
    if done.tool_calls:
        message["content"] = done.text or None
        message["tool_calls"] = [call_shape(call) for call in done.tool_calls]
    told = logprobs_shape(done.logprobs or ()) if has_logprobs else None
    return {
        "index": i, "message": message, "logprobs": told, "finish_reason": finish_reason(done),
    }  # fmt: skip


def call_shape(call: ToolCall) -> dict[str, Any]:
    """A call of a function; its arguments are JSON in a text."""
    arguments = dumps(dict(call.arguments)).decode()
    return {
        "id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments},
    }  # fmt: skip


def logprobs_shape(told: Sequence[TokenLogprob]) -> dict[str, Any]:
    """Tokens with their probabilities."""
    content = [{**_token(one), "top_logprobs": [_token(top) for top in one.top]} for one in told]
    return {"content": content, "refusal": None}


def chat_usage(
    model: ServedModel, done: Sequence[ChatCompletion], *, is_predicted: bool
) -> dict[str, Any]:
    """What answers cost, in tokens; those of thoughts are among the answers'."""
    details = {"reasoning_tokens": sum(n_reasoning_tokens(model, one) for one in done)}
    if is_predicted:
        details |= guess_details(done)
    return {**usage(done), "completion_tokens_details": details}


def n_reasoning_tokens(model: ServedModel, done: ChatCompletion) -> int:
    """An answer's tokens up to the last character that it thought."""
    if not done.reasoning:
        return 0
    pieces = [model.model.tokenizer.token_bytes(token) for token in done.tokens]
    thought = done.reasoning.encode()
    end = b"".join(pieces).find(thought) + len(thought)
    n, n_bytes = 0, 0
    while n < len(pieces) and n_bytes < end:  # a character that was cut is longer as text
        n_bytes += len(pieces[n])
        n += 1
    return n


def _token(one: TokenLogprob | TopToken) -> dict[str, Any]:
    logprob = _LEAST if one.logprob is None else max(one.logprob, _LEAST)
    text = one.bytes.decode(errors="replace")
    return {"token": text, "bytes": list(one.bytes), "logprob": logprob}
