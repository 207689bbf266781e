"""From prompts to text: prefill, then decode all sequences together, token by token.

Each prompt is a `Request`: its cache, its sampler, its detokenizer and its stops. `run` admits
requests while there is room, processes one prompt at a time in chunks, and gives every running
request one token per step. Which requests share a step changes nothing in their results.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, cast

from halfbyte.engine.buffers import MAX_BATCH
from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.memory import needed_for
from halfbyte.engine.sequence import Sequence as EngineSequence
from halfbyte.generation.completion import Completion, FinishReason, Stats
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.respelling import Respelling
from halfbyte.generation.sampler import F32, Sampler
from halfbyte.progress import Progress
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.detokenizer import StreamDetokenizer

log = logging.getLogger(__name__)

MAX_TOGETHER = 32  # sequences decoded in one step


class Task(Protocol):
    """A prompt on its way, as `run` sees it; `finish_reason` is empty until it is finished.

    Attributes:
        respelling: what finds the first tokens, where a prompt's end was taken back; they are not
            sampled, but accepted.
    """

    prompt: Sequence[int]
    respelling: Respelling | None
    tokens: list[int]
    finish_reason: FinishReason | Literal[""]
    prefill_s: float
    n_decode: int
    decode_s: float

    def sample(self, logits: F32) -> int:
        """The next token; not taken yet."""

    def accept(self, token: int, n_ctx: int) -> None:
        """Take a sampled token; sets `finish_reason` when it was the last."""


@dataclass(slots=True)
class Request:
    """A prompt on its way. `text` holds what may be shown; a possible stop string is held back.

    The tokens of a respelling are no stops, and those that only spell what was taken back do not
    count as an answer.
    """

    prompt: Sequence[int]
    params: SamplingParams
    sampler: Sampler
    detokenizer: StreamDetokenizer
    stop_tokens: frozenset[int]
    respelling: Respelling | None = None
    n_respelled: int = 0
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    held: str = ""
    finish_reason: FinishReason | Literal[""] = ""
    prefill_s: float = 0.0
    n_decode: int = 0
    decode_s: float = 0.0

    def accept(self, token: int, n_ctx: int) -> None:
        """Take a sampled token: text, stops, limits."""
        if self.respelling is not None and len(self.tokens) < len(self.respelling.tokens):
            self.n_respelled += int(self.detokenizer.skips(token))
        elif token in self.stop_tokens:
            self._finish("stop")
            return
        self.tokens.append(token)
        self.sampler.accept(token)
        self._take_text(self.detokenizer.push(token))
        if self.finish_reason:
            return
        if len(self.tokens) - self.n_respelled >= self.params.max_tokens:
            log.info("the answer ends at max_tokens=%d", self.params.max_tokens)
            self._finish("length")
        elif len(self.prompt) + len(self.tokens) >= n_ctx:
            log.warning("the context of %d tokens is full: the answer ends there", n_ctx)
            self._finish("context")

    def completion(self) -> Completion:
        """The result of a finished request."""
        stats = Stats(len(self.prompt), self.prefill_s, self.n_decode, self.decode_s)
        return Completion(
            text=self.text,
            tokens=self.tokens,
            finish_reason=cast(FinishReason, self.finish_reason),
            stats=stats,
            healed=self.respelling.text.decode(errors="replace") if self.respelling else "",
            seed=None if self.params.is_greedy else self.params.seed,
        )

    def sample(self, logits: F32) -> int:
        """The next token; not taken yet."""
        return self.sampler.sample(logits)

    def _take_text(self, piece: str) -> None:
        text = self.held + piece
        cut = min((at for stop in self.params.stop if (at := text.find(stop)) >= 0), default=-1)
        if cut >= 0:
            self.text += text[:cut]
            self.held = ""
            self.finish_reason = "stop"
            return
        n_held = max((_overlap(text, stop) for stop in self.params.stop), default=0)
        self.text += text[: len(text) - n_held]
        self.held = text[len(text) - n_held :]

    def _finish(self, reason: FinishReason) -> None:
        self._take_text(self.detokenizer.flush())
        self.text += self.held
        self.held = ""
        self.finish_reason = self.finish_reason or reason


def new_request(
    tokenizer: Tokenizer,
    prompt: Sequence[int],
    params: SamplingParams,
    *,
    taken_back: Sequence[int] = (),
    stop_ids: frozenset[int] = frozenset(),
) -> Request:
    """A request at its beginning.

    Args:
        tokenizer: whose ids they are.
        prompt: what the model sees first.
        params: how to choose the next token, and when to stop.
        taken_back: the ids that followed, whose text the answer has to spell again.
        stop_ids: end it besides the tokenizer's and the caller's.
    """
    params = params.seeded()
    text = b"".join(map(tokenizer.token_bytes, taken_back))
    sampler = Sampler(params, tokenizer.n_vocab, prompt)
    return Request(
        prompt=prompt,
        params=params,
        sampler=sampler,
        detokenizer=StreamDetokenizer(tokenizer, skip_nbytes=len(text)),
        stop_tokens=tokenizer.eog_ids | stop_ids | frozenset(params.stop_tokens),
        respelling=Respelling(tokenizer, sampler, text, taken_back) if text else None,
        finish_reason="" if params.max_tokens else "length",
    )


def run(engine: Engine, tasks: Sequence[Task], progress: Progress) -> Iterator[None]:
    """Work on all tasks until they are finished; yields after every step that gave tokens."""
    waiting = deque(task for task in tasks if not task.finish_reason)
    running: list[tuple[Task, EngineSequence]] = []
    while waiting or running:
        while waiting and len(running) < MAX_TOGETHER:
            task = waiting.popleft()
            with needed_for("processing a prompt"):
                sequence = _prefill(engine, task, progress)
            if not task.finish_reason:
                running.append((task, sequence))
            yield
        if running:
            with needed_for("generating"):
                _decode(engine, running)
            running = [pair for pair in running if not pair[0].finish_reason]
            yield


def prefill_chunks(n: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of the chunks in which n prompt tokens are processed."""
    for begin in range(0, n, MAX_BATCH):
        yield begin, min(begin + MAX_BATCH, n)


def _prefill(engine: Engine, task: Task, progress: Progress) -> EngineSequence:
    """Process a prompt; its last logits give the first token."""
    begin_s = time.perf_counter()
    sequence, n = engine.new_sequence(), len(task.prompt)
    for begin, end in prefill_chunks(n):
        span = Span(sequence, task.prompt[begin:end], n_out=int(end == n))
        logits = engine.forward([span])
        progress("prefill", end, n)
    if task.respelling is not None:
        _respell(engine, task.respelling, sequence, logits)
        first = task.respelling.tokens
    else:
        first = [task.sample(logits[0])]
    task.prefill_s = time.perf_counter() - begin_s
    for token in first:
        if not task.finish_reason:
            task.accept(token, engine.n_ctx)
    return sequence


def _respell(engine: Engine, respelling: Respelling, sequence: EngineSequence, logits: F32) -> None:
    """Find the first tokens behind a prompt; all but the last are then in its sequence."""
    room = engine.n_ctx - sequence.n_past
    respelling.tell(logits, room)
    while respelling.wanted:
        # Each path anew from the prompt's end: the forks last for a pass, so that few are held.
        spans = [Span(sequence.fork(sequence.n_past), path, n_out=1) for path in respelling.wanted]
        respelling.tell(engine.forward(spans), room)
    if len(respelling.tokens) > 1:
        engine.forward([Span(sequence, respelling.tokens[:-1], n_out=0)])


def _decode(engine: Engine, running: list[tuple[Task, EngineSequence]]) -> None:
    """One token for every running task."""
    begin_s = time.perf_counter()
    spans = [Span(sequence, task.tokens[-1:], 1) for task, sequence in running]
    logits = engine.forward(spans)
    for (task, _), row in zip(running, logits, strict=True):
        task.accept(task.sample(row), engine.n_ctx)
    seconds = time.perf_counter() - begin_s
    for task, _ in running:
        task.n_decode += 1
        task.decode_s += seconds


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for n in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:n]):
            return n
    return 0
