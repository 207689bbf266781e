"""An engine that plays back scripts, and callers that remember what they were told."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from typing import Any

import numpy as np

from halfbyte.engine.engine import StepAborted
from halfbyte.engine.page_pool import PagePool
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.prompt_memory import Bounds, PromptMemory
from halfbyte.generation.request import LogitsRequest, Request
from halfbyte.generation.rules.rule import Rule
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.terms import Terms
from halfbyte.generation.text_request import TextRequest
from halfbyte.kernels.layouts.kv_pages import KVLayout

END = 1


class Letters:
    """A vocabulary in which id i is the character chr(i), except that 1 ends a text."""

    n_vocab = 128
    eog_ids = frozenset({END})

    def token_bytes(self, token: int) -> bytes:
        return b"" if token == END else bytes([token])


class ScriptedSequence:
    """Tokens, as far as they are computed."""

    states = (None,)
    first_cut = 0

    def __init__(self, tokens: Seq[int] = ()) -> None:
        self.tokens = list(tokens)

    @property
    def n_past(self) -> int:
        return len(self.tokens)

    def reserve(self, n: int, n_guessed: int = 0) -> None:
        """There is room."""

    def truncate(self, n: int) -> None:
        del self.tokens[n:]

    def fork(self, n: int) -> ScriptedSequence:
        return ScriptedSequence(self.tokens[:n])


class ScriptedEngine:
    """Answers each prompt with its script: the prompt's first token says which.

    `before` is called with the number of each step; `steps` are the lengths of their spans.
    """

    def __init__(
        self, *scripts: str, n_ctx: int = 1000, before: Callable[[int], None] = lambda step: None
    ) -> None:
        self.scripts, self.n_ctx, self.before = scripts, n_ctx, before
        self.steps: list[list[int]] = []
        self.layout, self.expert_share = KVLayout(1, 1, 16, "f32"), 0.0
        self.pages = PagePool(self.layout)

    def new_sequence(self) -> ScriptedSequence:
        return ScriptedSequence()

    def forward(self, spans: Seq[Any], abort: Any = None) -> np.ndarray:
        self.steps.append([len(span.tokens) for span in spans])
        self.before(len(self.steps))
        if abort is not None and abort[0]:
            raise StepAborted
        rows = []
        for span in spans:
            span.sequence.tokens.extend(span.tokens)
            tokens = span.sequence.tokens
            for n in range(len(tokens) - span.n_out + 1, len(tokens) + 1):
                rows.append(self._row(tokens[:n]))
        return np.array(rows, np.float32).reshape(-1, 128)

    def _row(self, tokens: list[int]) -> np.ndarray:
        script = self.scripts[tokens[0]]
        n = sum(token >= 32 for token in tokens)  # prompts here have none of them
        row = np.zeros(128, np.float32)
        row[ord(script[n]) if n < len(script) else END] = 1.0
        return row


class Caller:
    """What stands in for a call."""

    def __init__(self, *requests: TextRequest, priority: float = 1.0) -> None:
        self.terms, self.tag, self.told = Terms(priority=priority), 0.0, 0
        for request in requests:
            request.call = self

    def tell(self, request: TextRequest) -> None:
        self.told += 1

    def ring(self) -> None:
        pass


def batch_of(engine: Any, bounds: Bounds | None = None) -> RunningBatch:
    """A batch that remembers nothing, or within bounds."""
    return RunningBatch(engine, PromptMemory(engine, bounds))


def request_of(
    prompt: Seq[int],
    n_ctx: int = 1000,
    drafter: Drafter | None = None,
    rules: Seq[Rule] = (),
    **params: Any,
) -> TextRequest:
    """A request for letters."""
    tokenizer: Any = Letters()
    sampling = SamplingParams.from_kwargs(**params)
    request = TextRequest(tokenizer, prompt, sampling, n_ctx, drafter=drafter, rules=rules)
    Caller(request)
    return request


class Vocabulary:
    """As many tokens as the model has; none ends a text."""

    n_vocab = 333
    eog_ids: frozenset[int] = frozenset()
    eos_id = None

    def token_bytes(self, token: int) -> bytes:
        return b"<%d>" % token


def numbered_request(kind: int, tokens: list[int], n: int) -> Request:
    """For a small model of 333 tokens: 0 for logits, 1 for a greedy answer, 2 for a drawn one."""
    if kind == 0:
        return LogitsRequest(tokens, np.empty((len(tokens), 333), np.float32))
    tokenizer: Any = Vocabulary()
    params = SamplingParams(max_tokens=n, temperature=float(kind - 1), seed=len(tokens))
    return TextRequest(tokenizer, tokens, params, 1000)


def run(batch: RunningBatch) -> None:
    while not batch.is_idle:
        batch.step()


def begin(batch: RunningBatch, *requests: Request) -> None:
    for request in requests:
        batch.add(request)
