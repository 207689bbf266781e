"""Write tests/data/golden_processors.json: transformers' `generate` with LogitsProcessors.

    .venvs/torch/bin/python benchmarks/make_processors_golden.py

The model is that of make_generation_golden.py. The processors are written with what tensors and
arrays both have; tests/runtime/hf/test_logits_processors.py has the same ones.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from make_generation_golden import ONE, TINY
from make_golden import model_of
from transformers import LogitsProcessor, LogitsProcessorList

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden_processors.json"


class Less(LogitsProcessor):
    """The last tokens become less likely, in place."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        scores[0, input_ids[0, -3:]] -= 3.0
        return scores


class Band(LogitsProcessor):
    """Ids of another band with each token, in a tensor of its own."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        begin = 40 * (input_ids.shape[1] % 5)
        made = scores - 100.0
        made[0, begin : begin + 80] += 100.0
        return made


PROCESSORS = {"less": [Less()], "band": [Band()], "both": [Less(), Band()]}


def main() -> None:
    """Each list of processors, with a penalty and without."""
    model, cases = model_of(TINY), []
    for name, processors in PROCESSORS.items():
        for more in ({}, {"repetition_penalty": 1.7}, {"do_sample": True, "top_k": 1}):
            call = {"max_new_tokens": 12, "eos_token_id": None, **more}
            out = model.generate(
                torch.tensor(ONE), logits_processor=LogitsProcessorList(processors), **call
            )
            cases.append({"processors": name, "inputs": ONE, "call": call, "ids": out.tolist()})
    OUT.write_text(json.dumps({"cases": cases}) + "\n", "utf-8")


if __name__ == "__main__":
    main()
