"""Answers whose memory is needed elsewhere again and again are the same bits, of rows and beams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from halfbyte.generation.prompt_memory import PromptMemory
from halfbyte.generation.running_batch import RunningBatch
from halfbyte.hf.auto_model import CausalLM
from halfbyte.hf.generation import read_batch
from tests.runtime.generation.scripted import Caller
from tests.runtime.hf.golden_functions import less

HOW: dict[str, Any] = {
    "max_new_tokens": 9, "eos_token_id": None, "no_repeat_ngram_size": 2, "repetition_penalty": 1.2,
    "logits_processor": [less], "return_dict_in_generate": True, "output_scores": True,
    "output_logits": True,
}  # fmt: skip


def bits(out: Any) -> list[bytes]:
    return [step.tobytes() for name in ("scores", "logits") for step in out[name]]


@pytest.mark.parametrize(
    "more", [{}, {"do_sample": True, "top_k": 1}, {"num_beams": 3, "num_return_sequences": 2}]
)
def test_preemption_changes_nothing(tiny: CausalLM, more: dict[str, Any]) -> None:
    ids = np.array([[1, 300, 301, 17, 99], [1, 310, 12, 77, 260]])
    wanted = tiny.generate(ids, **HOW, **more)
    config = tiny.configure(None, {**HOW, **more})
    plan = tiny.plan(read_batch(ids, None, config, 323), config)
    engine = tiny.model.engine
    batch = RunningBatch(engine, PromptMemory(engine))  # while the scheduler is idle
    for request in plan.requests:
        Caller(request)  # type: ignore[arg-type]
        batch.add(request)
    n_steps = 0
    while not batch.is_idle and n_steps < 200:
        batch.step()
        n_steps += 1
        for request in plan.requests:
            if n_steps % 4 == 0 and request in batch._running:
                batch._preempt(request)
    out = plan.output()
    assert 8 < n_steps < 200 and out.sequences.tolist() == wanted.sequences.tolist()
    assert bits(out) == bits(wanted)
