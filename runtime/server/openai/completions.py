"""`POST /v1/completions`: texts go on; with a suffix, a gap is filled.

Source: https://platform.openai.com/docs/api-reference/completions. What is not given is as
halfbyte's `complete` and `infill` have it: the most likely token each time, where one answer is
asked for. Of several prompts, answer j to prompt i is choice i * n + j.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from halfbyte.generation.completion import Completion
from halfbyte.generation.probabilities import TokenLogprob
from halfbyte.lazy_dataclass import dataclass
from halfbyte.server.ask import Ask
from halfbyte.server.exchange import Answer, Exchange
from halfbyte.server.fault import Fault, fault_of, refused
from halfbyte.server.openai.completion_fields import CompletionFields
from halfbyte.server.openai.edit_prompts import edit_prompt, gap_of
from halfbyte.server.openai.legacy_logprobs import legacy_logprobs
from halfbyte.server.openai.shapes import (
    answer_shell,
    counted,
    finish_reason,
    guess_details,
    naming,
    stream_error,
)
from halfbyte.server.protocol import Route
from halfbyte.server.reply import DONE, Events, Json, Reply, dumps
from halfbyte.server.served_model import ServedModel
from halfbyte.tokenizer import Tokenizer

MAX_ANSWERS = 512  # to all prompts of a request
_N_TOKENS = 16  # of an answer, where max_tokens is not given

Prompt = str | list[int]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it is put to the model.

    Attributes:
        begins: where the answers to each prompt begin, in characters of prompt and answer.
    """

    fields: CompletionFields
    tokenizer: Tokenizer
    begins: list[int]
    ask: Ask

    @property
    def n(self) -> int:
        """Answers to each prompt that the client gets."""
        return self.fields.n or 1

    def groups(self, done: Sequence[Any]) -> list[list[Completion]]:
        """The answers to each prompt, from all that came, those too that are left out."""
        if done and isinstance(done[0], list):
            return list(done)
        n_drawn = self.ask.n or 1
        return [list(done[i : i + n_drawn]) for i in range(0, len(done), n_drawn)]

    def logprobs(self, i: int, told: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        """What a client gets of what is told of choice i; None where it asked for nothing."""
        if self.fields.logprobs is None:
            return None
        return legacy_logprobs(self.tokenizer, told, self.begins[i // self.n])

    def usage(self, groups: Sequence[Sequence[Completion]]) -> dict[str, Any]:
        """What all of it cost."""
        n_prompt = n_cached = n_answers = 0
        for group in groups:
            n_prompt += group[0].stats.n_prompt
            n_cached += group[0].stats.n_reused
            n_echoed = group[0].stats.n_prompt if self.fields.echo else 0
            n_answers += sum(len(one.tokens) - n_echoed for one in group)
        told = counted(n_prompt, n_cached, n_answers)
        if "prediction" in self.ask.options:
            told["completion_tokens_details"] = guess_details(one for g in groups for one in g)
        return told


async def complete(exchange: Exchange, fields: CompletionFields) -> Reply:
    """Answer a request."""
    model = await exchange.model(fields.model)
    with naming(fields.names):  # a prompt for an edit is encoded there, which takes a moment
        is_long = model.edit_format is not None
        asked = await exchange.prepared(_asked, model, fields) if is_long else _asked(model, fields)
    shell = answer_shell(exchange, model, "cmpl", "text_completion")
    with naming(fields.names):
        if fields.stream:
            answer = await exchange.stream(model, asked.ask)
            return Events(_chunks(answer, shell, asked))
        groups = asked.groups(await exchange.answer(model, asked.ask))
    choices = [
        _choice(i, one.text, asked.logprobs(i, one.logprobs or ()), finish_reason(one))
        for i, one in enumerate(one for group in groups for one in group[: asked.n])
    ]
    return Json({**shell, "choices": choices, "usage": asked.usage(groups)})


def _asked(model: ServedModel, fields: CompletionFields) -> _Asked:
    """Raises Fault and RequestError: what is asked cannot be."""
    tokenizer = model.model.tokenizer
    options, n = fields.options(), max(fields.n or 1, fields.best_of or 1)
    # An empty suffix is the end of a file to editors, and no suffix at all to others.
    fills = bool(fields.suffix) or (fields.suffix == "" and model.model.can_infill)
    prompts = _one_text(fields) if fills else _prompts(fields, tokenizer)
    if fields.best_of is not None and fields.best_of < n:
        raise refused("best_of", f"at least n, {n}", fields.best_of)
    if len(prompts) * n > MAX_ANSWERS:
        name = "prompt" if len(prompts) > 1 else "n" if n == fields.n else "best_of"
        raise refused(name, f"at most {MAX_ANSWERS} answers in all", len(prompts) * n)
    _stop_at_tokens(options, tokenizer)
    if fills:
        ask = Ask("infill", (prompts[0], fields.suffix), options, n)
    elif (gap := gap_of(model, prompts, options)) is not None:
        ask = Ask("infill", gap, options, n)
    else:
        given = prompts if len(prompts) > 1 else edit_prompt(model, prompts[0], options)
        ask = Ask("complete", (given,), options, n)
    options.setdefault("max_tokens", _N_TOKENS)
    is_told = fields.logprobs is not None and not fields.echo
    begins = [_n_chars(prompt, tokenizer) if is_told else 0 for prompt in prompts]
    return _Asked(fields, tokenizer, begins, ask)


def _n_chars(prompt: Prompt, tokenizer: Tokenizer) -> int:
    return len(prompt if isinstance(prompt, str) else tokenizer.decode(prompt))


def _one_text(fields: CompletionFields) -> list[Prompt]:
    """The text before a gap."""
    given = "" if fields.prompt is None else fields.prompt
    texts = [given] if isinstance(given, str) else given
    if len(texts) != 1 or not isinstance(texts[0], str):
        message = "prompt: expected one text with a suffix, got token ids or several"
        raise Fault("invalid_request", message, param="prompt")
    return [texts[0]]


def _prompts(fields: CompletionFields, tokenizer: Tokenizer) -> list[Prompt]:
    """The prompts one by one; an empty one is the beginning of a text."""
    given: Any = "" if fields.prompt is None else fields.prompt
    is_one = isinstance(given, str) or not given or isinstance(given[0], int)
    prompts: list[Prompt] = [given] if is_one else list(given)
    start = tokenizer.eos_id if tokenizer.bos_id is None else tokenizer.bos_id
    return [[start] if p == "" and start is not None else p for p in prompts]


def _stop_at_tokens(options: dict[str, Any], tokenizer: Tokenizer) -> None:
    """Control tokens among the stop texts end an answer too, in which they are no text."""
    ids = [tokenizer.id_of(text) for text in options.get("stop", ())]
    control = [i for i in ids if i is not None and not tokenizer.token_bytes(i)]
    if control:
        options["stop_tokens"] = [*options.get("stop_tokens", ()), *control]


async def _chunks(answer: Answer, shell: dict[str, Any], asked: _Asked) -> AsyncIterator[bytes]:
    wants_usage = asked.fields.stream_options and asked.fields.stream_options.include_usage
    # What all chunks have in common is written once.
    head = b"data: %b" % dumps({**shell, "choices": []})[:-2]
    tail = b"]%b}\n\n" % (b',"usage":null' if wants_usage else b"")
    wants_logprobs = asked.fields.logprobs is not None
    n_told = [0] * (len(asked.begins) * asked.n)

    def new_logprobs(i: int, told: Sequence[TokenLogprob]) -> bytes:
        new = told[n_told[i] :]
        n_told[i] += len(new)
        return dumps(asked.logprobs(i, new))

    def chunk(i: int, text: str, logprobs: bytes, reason: bytes) -> bytes:
        choice = b'{"index":%d,"text":%b,"logprobs":%b,"finish_reason":%b}'
        return b"%b%b%b" % (head, choice % (i, dumps(text), logprobs, reason), tail)

    try:
        with naming(asked.fields.names):
            async for batch in answer:
                yield b"".join(
                    chunk(
                        i, part.text,
                        new_logprobs(i, answer.logprobs(i)) if wants_logprobs else b"null", b"null",
                    )
                    for i, part in batch
                )  # fmt: skip
            done = answer.completions
            last = [
                chunk(i, "", new_logprobs(i, one.logprobs or ()), dumps(finish_reason(one)))
                for i, one in enumerate(done)
            ]
            if wants_usage:
                told = dumps(asked.usage(asked.groups(done)))
                last.append(b'%b],"usage":%b}\n\n' % (head, told))
            yield b"".join([*last, DONE])
    except Exception as error:
        yield stream_error(fault_of(error))


def _choice(i: int, text: str, logprobs: dict[str, Any] | None, reason: str) -> dict[str, Any]:
    return {"index": i, "text": text, "logprobs": logprobs, "finish_reason": reason}


COMPLETIONS = (Route("POST", "/v1/completions", complete, CompletionFields),)
