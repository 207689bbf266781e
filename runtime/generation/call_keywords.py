"""Keywords of a call beside the sampling parameters, for editors and type checkers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from halfbyte.generation.sampling.sampler_options import SamplerOptions
from halfbyte.progress import Progress

AdapterChoice = str | tuple[str, float] | Iterable[str | tuple[str, float]] | None


class TokenRuleOptions(TypedDict, total=False):
    """What is asked of single tokens and texts; see TokenRules."""

    logit_bias: Mapping[int, float] | Mapping[str, float] | Mapping[int | str, float]
    min_tokens: int
    bad_words: str | Collection[str | Sequence[int]]
    banned_strings: str | Collection[str]


class TextEndOptions(TypedDict, total=False):
    """Where a text ends by what code looks like; see TextEnds."""

    stop_indent: bool | int
    stop_brackets: bool | Literal["before", "behind"]
    line_time: float | None


class SamplingOptions(SamplerOptions, total=False):
    """What a caller may write as keywords, for editors and type checkers; see SamplingParams."""

    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    seed: int | None
    stop: str | Collection[str]
    stop_tokens: Collection[int]


class CallOptions(SamplingOptions, TokenRuleOptions, TextEndOptions, total=False):
    """And how a call is served (Terms), with whom it shares memory (docs/caches.md), what its
    answer may repeat (docs/speculation.md), what it has to be (docs/constraints.md), and the
    adapters it goes through (docs/adapters.md), ...
    """

    timeout: float | None
    max_time: float | None
    priority: float
    cache_scope: str | None
    prediction: str | Sequence[int] | None
    lookup: str | Sequence[int] | Iterable[str | Sequence[int]] | None
    speculate: bool
    json_schema: Mapping[str, Any] | str | type | None
    regex: str | None
    grammar: str | None
    choices: Sequence[str] | None
    json_whitespace: bool
    logits_processor: Callable[..., Any] | Sequence[Callable[..., Any]] | None
    adapter: AdapterChoice
    best_of: int | None
    num_beams: int
    num_beam_groups: int
    diversity_penalty: float
    length_penalty: float
    early_stopping: bool | Literal["never"]
    logprobs: int | None
    logprobs_of: Literal["model", "sampler"]
    prompt_logprobs: int | None
    echo: bool


class CompleteCallOptions(CallOptions, total=False):
    """And of `complete`: see Syntax and PromptCut."""

    truncate: Literal["left", "middle"] | None
    syntax: Literal["python"] | None


class ScoreOptions(TypedDict, total=False):
    """What a caller of `score` and `perplexity` may write besides."""

    parse_markers: bool
    progress: Progress | None
    timeout: float | None
    priority: float
    cache_scope: str | None
    adapter: AdapterChoice


class ChatCallOptions(CallOptions, total=False):
    """And of a chat: see prompt/tools/tools.py and prompt/thinking.py."""

    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    parallel_tool_calls: bool
    thinking: bool | None
    reasoning_budget: int | None
    reasoning_closing: str
    reasoning_effort: str | None


class MiddleOptions(TypedDict, total=False):
    """What a caller of `infill` may ask besides; see MiddleRules."""

    min_confidence: float | None
    confidence: bool
    trim_suffix: bool
    single_line: bool
    reuse_answer: bool
    syntax: Literal["python"] | None


class InfillCallOptions(CallOptions, MiddleOptions, total=False):
    """All keywords of `infill` that are not its own."""
