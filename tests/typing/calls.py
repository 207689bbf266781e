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
    reason: Literal["stop", "length", "context", "timeout", "confidence"] = done.finish_reason
    print(several, reason, done.finish_reason == "ended")  # type: ignore[comparison-overlap]
    model.complete("a", max_token=3)  # type: ignore[call-overload]
    model.complete("a", temperature="high")  # type: ignore[call-overload]
    model.complete("a", prediction="b", lookup=["c", "d"], speculate=False)
    model.complete("a", lookup=[1, 2])
    model.complete("a", prediction=3)  # type: ignore[call-overload]
    model.complete("a", json_schema={"type": "null"}, json_whitespace=True)
    model.chat([], choices=["a", "b"], logits_processor=[lambda ids, row: None])
    whole: bool | None = model.complete("a", regex="a", grammar=None).is_complete
    model.complete("a", choices="b", json_schema=3)  # type: ignore[call-overload]
    print(whole)
    model.stream("a", max_token=3)  # type: ignore[call-arg]
    model.stream("a", stop=3)  # type: ignore[arg-type]
    order: Literal["psm", "spm"] = model.infill("a", "b", order="spm", max_tokens=3).order
    print(order)
    model.infill("a", "b", order="pms")  # type: ignore[arg-type]
    model.infill("a", "b", max_token=3)  # type: ignore[call-arg]
    model.infill("a", "b", min_confidence=0.5, trim_suffix=False, single_line=True)
    model.infill("a", "b", min_confidence="high")  # type: ignore[arg-type]
    model.stream_infill("a", "b", max_token=3)  # type: ignore[call-arg]
    edited: halfbyte.Edit = model.edit("a.py", "x", (1, 2), format="sweep", temperature=0.5)
    print(edited.start, edited.jump)
    model.edit("a.py", "x", 1, history=[halfbyte.PastEdit("b", "c", "d")], related={"e": "f"})
    model.edit("a.py", "x", 1, diagnostics=[halfbyte.Diagnostic("bad")])
    model.edit("a.py", "x", 1, format="zeta")  # type: ignore[arg-type]
    model.edit("a.py", "x", "1")  # type: ignore[arg-type]
    model.stream_edit("a.py", "x", 1, max_token=3)  # type: ignore[call-arg]
    chat = [{"role": "user", "content": "a"}]
    model.chat(chat, format="llama-2", stop_tokens=[3])
    model.chat(chat, format="llama2")  # type: ignore[arg-type]
    model.chat(chat, max_token=3)  # type: ignore[call-arg]
    model.stream_chat(chat, max_token=3)  # type: ignore[call-arg]


def transformers_names() -> None:
    """The calls that users of transformers know."""
    halfbyte.load("a", kv_type="f8")  # type: ignore[arg-type]
    model = AutoModelForCausalLM.from_pretrained("a", device_map="auto", ctx=512, token=None)
    AutoModelForCausalLM.from_pretrained("a", contxt=512)  # type: ignore[call-arg]
    model.generate([[1]], max_new_tokens=3, do_sample=True, cache_implementation="static")
    model.generate([[1]], max_tokens=3)  # type: ignore[call-arg]
    model.generate([[1]], do_sample="yes")  # type: ignore[arg-type]
    pipe = pipeline("text-generation", model, device=-1, max_new_tokens=3)
    pipeline("text-generation", model, max_new_token=3)  # type: ignore[call-arg]
    pipe("a", return_full_text=False, temperature=0.5)
    pipe("a", return_ful_text=False)  # type: ignore[call-arg]
