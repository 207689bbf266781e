"""`POST /completion`: texts go on, sampled as llama.cpp does."""

from __future__ import annotations

import re
from collections.abc import Sequence

from halfbyte.server.ask import Ask
from halfbyte.server.dropped import text_without
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.llama_cpp.answer_replies import Call, reply_to
from halfbyte.server.llama_cpp.generation_options import generation_options, indent_options
from halfbyte.server.llama_cpp.generation_settings import generation_settings
from halfbyte.server.llama_cpp.llama_shapes import model_of
from halfbyte.server.llama_cpp.request_schema import (
    LlamaCompletionFields,
    Mixed,
    OnePrompt,
    PromptObject,
)
from halfbyte.server.llama_cpp.result_shapes import Shell
from halfbyte.server.llama_cpp.token_texts import ids_of, text_of
from halfbyte.server.prompts import check_length
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Reply
from halfbyte.server.served_model import ServedModel


async def complete_prompts(exchange: Exchange, asked: LlamaCompletionFields) -> Reply:
    """Answer a request.

    A prompt's tokens stay what they are (nothing is healed), and special tokens in it are meant.
    """
    model = await model_of(exchange, asked.model)
    n = asked.n_answers(exchange)
    options = generation_options(asked, model)
    settings = generation_settings(asked, model)
    calls = []
    for given in asked.prompts:
        prompt = _shortened(given, exchange.settings.dropped)
        ids, text = await exchange.prepared(_encoded, model, prompt)
        ask = Ask("complete", (ids,), options | indent_options(asked, text), n)
        calls.append(Call(ask, Shell(asked, model.name, settings, text)))
    return await reply_to(exchange, model, calls)


def _shortened(prompt: OnePrompt, patterns: Sequence[re.Pattern[str]]) -> str | Mixed:
    """A prompt's text or parts, without what the server drops of texts."""
    if isinstance(prompt, PromptObject):
        prompt = prompt.prompt_string
    if isinstance(prompt, str):
        return text_without(prompt, patterns)
    return [text_without(one, patterns) if isinstance(one, str) else one for one in prompt]


def _encoded(model: ServedModel, prompt: str | Mixed) -> tuple[list[int], str]:
    """A prompt's ids, and its text."""
    tokenizer = model.model.tokenizer
    if not prompt and tokenizer.bos_id is not None:
        return [tokenizer.bos_id], ""
    if not prompt:
        raise Fault("invalid_request", "prompt: expected some text, got nothing", param="prompt")
    parts = [prompt] if isinstance(prompt, str) else prompt
    check_length(model.model, *(part for part in parts if isinstance(part, str)))
    ids = ids_of(tokenizer, prompt, "prompt", add_special=True, parse_special=True)
    return ids, text_of(tokenizer, ids)


COMPLETION = tuple(
    Route("POST", path, complete_prompts, LlamaCompletionFields)
    for path in ("/completion", "/completions")
)
