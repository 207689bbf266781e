"""Requests of all kinds for a small model of 333 tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from scripted import Vocabulary, numbered_request

from halfbyte.constraints.constraint import Constraint
from halfbyte.constraints.grammar import Grammars
from halfbyte.engine.adapter_weights import Applied, pack_adapter
from halfbyte.generation.beams.beam_answers import beam_request
from halfbyte.generation.beams.beam_request import BeamRequest
from halfbyte.generation.beams.beams import Beams
from halfbyte.generation.params import SamplingParams
from halfbyte.generation.probabilities import Probabilities
from halfbyte.generation.recorder import Recording
from halfbyte.generation.request import LogitsRequest, Request
from halfbyte.generation.rules.grammar_rule import GrammarRule
from halfbyte.generation.sampling.asked_sampler import sampler_of
from halfbyte.generation.shared_prompt import SharedPrompt
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.generation.text_request import TextRequest
from halfbyte.hf.endings import Endings
from halfbyte.hf.processors.processing import Processing
from halfbyte.hf.processors.repetitions import NoRepeatedNgrams
from halfbyte.hf.row import Kept, Row
from halfbyte.lora.adapter import Adapter, Factors
from halfbyte.lora.matrices import matrices_of

N_CTX = 1000
Make = Callable[[list[int], int], Request]  # of a prompt, and a number of tokens


PLAIN: list[Make] = [partial(numbered_request, kind) for kind in range(3)]


class Bytes(Vocabulary):
    """Token i below 256 is the byte i; no text has the others."""

    text_ids = frozenset(range(1, 256))
    vocabulary = SimpleNamespace(pieces=[b"%d" % i for i in range(333)])

    def token_bytes(self, token: int) -> bytes:
        return bytes([token]) if token < 256 else b""

    def encode_fragment(self, text: str) -> list[int]:
        return list(text.encode())


def outcome(request: Request) -> Any:
    """What must be the same each time."""
    if isinstance(request, LogitsRequest):
        return request.logits.tobytes()
    if isinstance(request, BeamRequest):
        return [(one.tokens, one.score, one.logprobs, one.stop_text) for one in request.result()]
    if isinstance(request, Row):
        kept = request.kept
        rows = [[row.tobytes() for row in rows or ()] for rows in (kept.scores, kept.logits)]
        return request.tokens, request.finish_reason, rows
    assert isinstance(request, TextRequest)
    return request.tokens, request.finish_reason


def guessed(temperature: float) -> Make:
    """Answers that are guessed."""

    def make(tokens: list[int], n: int) -> Request:
        vocabulary: Any = Vocabulary()
        params = SamplingParams(max_tokens=n, temperature=temperature, seed=n)
        return TextRequest(vocabulary, tokens, params, N_CTX, drafter=Drafter())

    return make


def beams(tokens: list[int], n: int) -> Request:
    """Beams, every other time in groups."""
    vocabulary: Any = Vocabulary()
    asked = Beams(num_beams=3, num_beam_groups=1 + 2 * (n % 2), diversity_penalty=0.5 * (n % 2))
    return beam_request(vocabulary, tokens, SamplingParams(max_tokens=n), N_CTX, asked)


def makers(model: Any) -> list[Make]:
    """Of logits, answers greedy and drawn, both guessed, beams, with an adapter, constrained, beams
    that end by their texts, and rows of `generate`.
    """
    tokenizer: Any = Vocabulary()
    in_bytes: Any = Bytes()
    adapter = [Applied(pack_adapter(_adapter(model), model.config, model.weights.matrices), 0.5)]
    grammar = Grammars(in_bytes).compiled(Constraint.split({"regex": "[a-z]{2}(foo|bar)[0-9]+"})[0])

    def adapted(tokens: list[int], n: int) -> Request:
        request = numbered_request(1, tokens, n)
        request.go_through(adapter)
        return request

    def constrained(tokens: list[int], n: int) -> Request:
        rules = [GrammarRule(grammar.matcher(), frozenset())]
        params = SamplingParams(max_tokens=n, temperature=float(n % 2), seed=n)
        return TextRequest(in_bytes, tokens, params, N_CTX, drafter=Drafter(), rules=rules)

    def ending(tokens: list[int], n: int) -> Request:
        params = SamplingParams(max_tokens=n, stop=[chr(c) for c in range(32, 127, 3)])
        recording = Recording.of(Probabilities(logprobs=2, logprobs_of=("model", "sampler")[n % 2]))
        asked = Beams(num_beams=3, early_stopping=n % 3 == 0)
        return beam_request(in_bytes, tokens, params, N_CTX, asked, recording=recording)

    def row(tokens: list[int], n: int) -> Request:
        params = SamplingParams(temperature=float(n % 2), top_k=40, seed=n)
        return Row(
            tokens, N_CTX, sampler=sampler_of(tokenizer, params, tokens), n_max=n,
            endings=Endings(in_bytes, frozenset({7}), stops=(b"a", b"xy")),
            kept=Kept(scores=True, logits=True, temperature=None, is_normalized=False),
            processing=Processing([NoRepeatedNgrams(2)], tokens), drafter=Drafter(),
        )  # fmt: skip

    return [*PLAIN, guessed(0.0), guessed(1.0), beams, adapted, constrained, ending, row]


def share(requests: Sequence[Request]) -> None:
    """Have the requests of a call compute their prompt once, as those of `n=` do."""
    n_shared = len(requests[0].ids) - 1
    if len(requests) > 1 and n_shared and not isinstance(requests[0], LogitsRequest):
        SharedPrompt(n_shared, requests)


def _adapter(model: Any) -> Adapter:
    rng, factors = np.random.default_rng(0), {}
    for name, spec in matrices_of(model.config).items():
        n_rows, n_inputs = spec.shape
        a = rng.standard_normal((4, n_inputs)) / np.sqrt(n_inputs)
        b = rng.standard_normal((n_rows, 4)) * 0.3
        factors[name] = Factors(a.astype(np.float32), b.astype(np.float32), 0.7)
    return Adapter(Path("adapter"), "F32", factors)
