"""What a caller gets says what matters in a line, and becomes JSON."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import halfbyte
from halfbyte.conversion import plan_conversion
from halfbyte.generation.completion import Completion, Infilling, Stats
from halfbyte.hf.auto_model import CausalLM
from halfbyte.hf.generation_config import GenerationConfig
from halfbyte.hf.pipeline import pipeline

STATS = Stats(5, 0.5, 10, 2.0)
DONE = Completion(text="a\n" * 80, tokens=[1, 2], finish_reason="length", stats=STATS)


def test_a_completion() -> None:
    assert repr(DONE).startswith(r"Completion('a\na\n") and "\n" not in repr(DONE)
    assert repr(DONE).endswith("finish_reason='length', 2 tokens, 5.0 tok/s)")
    assert len(repr(DONE)) < 200
    assert json.loads(json.dumps(DONE.to_dict())) == {
        "text": "a\n" * 80, "tokens": [1, 2], "finish_reason": "length", "healed": "",
        "seed": None, "score": None, "logprobs": None, "prompt_logprobs": None,
        "is_complete": None, "stop_text": "",
        "stats": {"n_prompt": 5, "prefill_s": 0.5, "n_decode": 10, "decode_s": 2.0,
                  "n_reused": 0, "mismatch": "", "n_drafted": 0, "n_accepted": 0,
                  "prefill_tps": 10.0, "decode_tps": 5.0},
    }  # fmt: skip


def test_an_infilling() -> None:
    done = Infilling.of(DONE, prefix="(", suffix=")", order="psm")
    assert repr(done).startswith("Infilling('a")
    values = done.to_dict()
    assert values["full_text"] == done.full_text and values["order"] == "psm"


def test_a_model_and_what_holds_it(infill_model: halfbyte.Model) -> None:
    shape = r"llama, \d+ layers of 256, vocabulary 8016, Q8_0, int8, ctx 512, KV f16, 2 threads"
    model = rf"<Model 'infill-10m': {shape}>"
    assert re.fullmatch(model, repr(infill_model))
    causal = CausalLM(infill_model, GenerationConfig(), "infill-10m")
    assert re.fullmatch(rf"<CausalLM 'infill-10m' on {model}>", repr(causal))
    assert re.fullmatch(
        rf"<TextGenerationPipeline text-generation: <CausalLM 'infill-10m' on {model}>>",
        repr(pipeline(model=causal)),
    )


def test_a_conversion(tiny_folder: Path, tmp_path: Path) -> None:
    report = halfbyte.convert(tiny_folder, tmp_path / "x.gguf", type="q4_0", measure=False)
    size = rf"{report.nbytes / 1e6:.1f} MB, {report.bits_per_weight:.2f} bits per weight"
    facts = rf"q4_0, {report.n_tensors} tensors, {size}"
    assert re.fullmatch(
        rf"ConversionReport\({str(tmp_path / 'x.gguf')!r}, {facts}, [\d.]+ s\)", repr(report)
    )
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["nbytes"] == report.nbytes and len(values["tensors"]) == report.n_tensors
    first = values["tensors"][0]
    assert (first["name"], first["format"]) == (
        report.tensors[0].name,
        report.tensors[0].format.name,
    )
    plan = plan_conversion(tiny_folder, type="q4_0")
    assert repr(plan).startswith(f"Plan({report.n_tensors} tensors, {size}, ")
    assert json.loads(json.dumps(plan.to_dict()))["n_weights"] == plan.n_weights


def test_numbers_that_json_does_not_have() -> None:
    values = Stats(1, math.nan, 1, math.inf).to_dict()
    assert values["prefill_s"] is None and values["decode_s"] is None
