"""Calls that a type checker accepts, and calls that it refuses: `make lint` reads this.

Where a mistake were accepted, its `type: ignore` would be unused, which strict mypy reports.
"""

from __future__ import annotations

from typing import Literal

import halfbyte
from halfbyte import AutoModelForCausalLM, pipeline


def completions(model: halfbyte.Model) -> None:
    """The calls of a model."""
    done: halfbyte.Completion = model.complete("a", max_tokens=3, stop="b", seed=None)
    several: list[halfbyte.Completion] = model.complete(["a", [1]], top_p=0.5, stop=["b", "c"])
    reason: Literal[
        "stop",
        "length",
        "context",
        "timeout",
        "confidence",
        "time",
        "banned",
        "tool_calls",
        "syntax",
    ] = done.finish_reason
    print(several, reason, done.finish_reason == "ended")  # type: ignore[comparison-overlap]
    model.complete("a", max_token=3)  # type: ignore[call-overload]
    model.complete("a", temperature="high")  # type: ignore[call-overload]
    model.complete("a", prediction="b", lookup=["c", "d"], speculate=False)
    model.complete("a", lookup=[1, 2])
    model.complete("a", prediction=3)  # type: ignore[call-overload]
    model.complete("a", typical_p=0.9, mirostat=2, samplers=["top_k"], penalty_window=None)
    model.complete("a", samplers=3)  # type: ignore[call-overload]
    model.complete("a", logit_bias={1: -1.0}, bad_words=["a", [1, 2]], banned_strings="c")
    model.complete("a", logit_bias={"b": 2}, min_tokens=3, stop_indent=True, max_time=0.5)
    model.infill("a", "b", stop_brackets="behind", stop_indent=4)
    model.infill("a", "b", stop_brackets="after")  # type: ignore[call-overload]
    model.chat([{"role": "user", "content": "a"}], banned_strings=["b"], dry_multiplier=0.8)
    model.complete("a", adapter="b")
    model.complete("a", adapter=["b", ("c", 0.5)])
    model.chat([{"role": "user", "content": "a"}], adapter=("b", 2))
    model.complete("a", adapter=3)  # type: ignore[call-overload]
    name: str = model.load_adapter("folder", name="b")
    model.unload_adapter(name)
    model.load_adapter("folder", nam="b")  # type: ignore[call-arg]
    model.stream("a", max_token=3)  # type: ignore[call-overload]
    model.stream("a", stop=3)  # type: ignore[call-overload]
    model.complete("a", syntax="python")
    model.complete("a", syntax="ruby")  # type: ignore[call-overload]
    answer: halfbyte.ChatCompletion = model.chat([], tools=[{}], tool_choice="f", thinking=True)
    calls: tuple[halfbyte.ToolCall, ...] = answer.tool_calls
    parts: list[halfbyte.Part] = list(model.stream_chat([], reasoning_budget=3).parts())
    print(calls, parts)
    model.complete("a", tools=[{}])  # type: ignore[call-overload]
    model.complete("a", json_schema={"type": "null"}, json_whitespace=True)
    model.chat([], choices=["a", "b"], logits_processor=[lambda ids, row: None])
    whole: bool | None = model.complete("a", regex="a", grammar=None).is_complete
    model.complete("a", choices="b", json_schema=3)  # type: ignore[call-overload]
    print(whole)
    order: Literal["psm", "spm"] = model.infill("a", "b", order="spm", max_tokens=3).order
    print(order)
    model.infill("a", "b", order="pms")  # type: ignore[call-overload]
    model.infill("a", "b", max_token=3)  # type: ignore[call-overload]
    model.infill("a", "b", min_confidence=0.5, trim_suffix=False, single_line=True)
    model.infill("a", "b", min_confidence="high")  # type: ignore[call-overload]
    model.stream_infill("a", "b", max_token=3)  # type: ignore[call-overload]
    edited: halfbyte.Edit = model.edit("a.py", "x", (1, 2), format="sweep", temperature=0.5)
    print(edited.start, edited.jump)
    model.edit("a.py", "x", 1, history=[halfbyte.PastEdit("b", "c", "d")], related={"e": "f"})
    model.edit("a.py", "x", 1, diagnostics=[halfbyte.Diagnostic("bad")])
    model.edit("a.py", "x", 1, format="zeta")  # type: ignore[arg-type]
    model.edit("a.py", "x", "1")  # type: ignore[arg-type]
    model.stream_edit("a.py", "x", 1, max_token=3)  # type: ignore[call-arg]
    many: list[halfbyte.Completion] = model.complete("a", n=3, best_of=5, temperature=1.0)
    lists: list[list[halfbyte.Completion]] = model.complete(["a", "b"], n=3)
    middles: list[halfbyte.Infilling] = model.infill("a", "b", n=2)
    print(many, lists, middles)
    one: halfbyte.Completion = model.complete("a", num_beams=4, early_stopping="never")
    told: list[halfbyte.TokenLogprob] | None = model.complete("a", logprobs=3, echo=True).logprobs
    streamed: halfbyte.CandidateStream[halfbyte.Completion] = model.stream("a", n=2)
    index, piece = next(streamed)
    print(piece.upper(), index + 1, streamed.completions)
    score: halfbyte.Score = model.score("a", "b", timeout=3.0)
    scores: list[halfbyte.Score] = model.score([1, 2], [[3], [4, 5]])
    perplexity: halfbyte.Perplexity = model.perplexity("a b c", window=4)
    print(one, told, score.per_byte, scores, perplexity.value)
    model.complete("a", logprobs_of="raw")  # type: ignore[call-overload]
    model.complete("a", early_stopping="always")  # type: ignore[call-overload]
    model.score("a", 3)  # type: ignore[call-overload]
    model.perplexity("a", windw=4)  # type: ignore[call-arg]
    model.complete("a", n="3")  # type: ignore[call-overload]
    chat = [{"role": "user", "content": "a"}]
    model.chat(chat, format="llama-2", stop_tokens=[3])
    answers: list[halfbyte.ChatCompletion] = model.chat(chat, n=2)
    error: halfbyte.ToolCallError | None = answers[0].tool_error
    print(answers, error and error.reason)
    beams: list[halfbyte.Infilling] = model.infill("a", "b", n=2, num_beams=3, stop="c")
    lora: list[str | tuple[str, float]] = ["a", ("b", 0.5)]
    print(beams, model.embed("a", adapter=lora), model.trace("a", adapter=("b", 2)).logits)
    print(model.score("a", "b", adapter="c"), model.perplexity("a b", adapter=lora))
    model.embed("a", adapter=3)  # type: ignore[call-overload]
    model.trace("a", adapter=3)  # type: ignore[arg-type]
    model.score("a", "b", adapter=3)  # type: ignore[call-overload]
    model.chat(chat, format="llama2")  # type: ignore[call-overload]
    model.chat(chat, max_token=3)  # type: ignore[call-overload]
    model.stream_chat(chat, max_token=3)  # type: ignore[call-overload]


def transformers_names() -> None:
    """The calls that users of transformers know."""
    halfbyte.load("a", kv_type="f8")  # type: ignore[arg-type]
    halfbyte.load("a", adapter=["b", ("c", 0.5)])
    halfbyte.load("a", adapter=3)  # type: ignore[arg-type]
    halfbyte.convert("a", adapter=("b", 0.5))
    model = AutoModelForCausalLM.from_pretrained("a", device_map="auto", ctx=512, token=None)
    AutoModelForCausalLM.from_pretrained("a", contxt=512)  # type: ignore[call-arg]
    model.generate([[1]], max_new_tokens=3, do_sample=True, cache_implementation="static")
    model.generate([[1]], max_tokens=3)  # type: ignore[call-arg]
    model.generate([[1]], do_sample="yes")  # type: ignore[arg-type]
    pipe = pipeline("text-generation", model, device=-1, max_new_tokens=3)
    pipeline("text-generation", model, max_new_token=3)  # type: ignore[call-arg]
    pipe("a", return_full_text=False, temperature=0.5)
    pipe("a", return_ful_text=False)  # type: ignore[call-arg]
