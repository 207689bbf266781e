"""All that `generate` can be told, against transformers' own ids, scores, states and beams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halfbyte.hf.auto_model import CausalLM
from tests.runtime.hf.golden_functions import FUNCTIONS

DATA = Path(__file__).parents[2] / "data"
GOLDEN = json.loads((DATA / "golden_arguments.json").read_text("utf-8"))
GROUPS = json.loads((DATA / "golden_beams.json").read_text("utf-8"))["groups"]["cases"]


def named(case: dict[str, Any]) -> str:
    dull = {"inputs", "max_new_tokens", "attention_mask", "return_dict_in_generate", "pad_token_id"}
    return ",".join(name for name in case["call"] if name not in dull)


def call_of(case: dict[str, Any]) -> dict[str, Any]:
    """A golden call's arguments."""
    call = dict(case["call"])
    for name in ("stopping_criteria", "logits_processor"):
        if name in call:
            call[name] = [FUNCTIONS[one] for one in call[name]]
    if "prefix_allowed_tokens_fn" in call:
        call["prefix_allowed_tokens_fn"] = FUNCTIONS[call["prefix_allowed_tokens_fn"]]
    return call


def close(ours: Any, golden: Any, step: int) -> None:
    """Some numbers of the last axis, within 1e-4; None stands for -inf."""
    expected = np.array(golden, float)
    expected[np.isnan(expected)] = -np.inf
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours[..., ::step], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=named)
def test_it_gives_what_transformers_gives(tiny: CausalLM, case: dict[str, Any]) -> None:
    out = tiny.generate(**call_of(case))
    if not case["call"].get("return_dict_in_generate"):
        assert out.tolist() == case["ids"]
        return
    if "ids" in case:
        assert out.sequences.tolist() == case["ids"]
    for name in ("scores", "logits"):
        if name in case:
            check_steps(out, name, case)
    if "beam_indices" in case:
        assert out.beam_indices.tolist() == case["beam_indices"]
        close(out.sequences_scores, case["sequences_scores"], 1)
    if "transition_scores" in case and "attention_mask" not in case["call"]:
        beams = getattr(out, "beam_indices", None) if "beam_indices" in case else None
        made = tiny.compute_transition_scores(out.sequences, out.scores, beams)
        close(made, case["transition_scores"], 1)
    for name, step in (("hidden_states", 13), ("attentions", 1)):
        if name in case:
            assert len(out[name]) == len(case[name])
            for ours, golden in zip(out[name], case[name], strict=True):
                for layer, expected in zip(ours, golden, strict=True):
                    close(layer, expected, step)


def check_steps(out: Any, name: str, case: dict[str, Any]) -> None:
    """Each step's rows, as far as its row goes on: behind its end transformers goes on."""
    ends = case["call"].get("eos_token_id") or []
    n = len(case["call"]["inputs"][0])
    n_beams = case["call"].get("num_beams", 1)
    for t, (ours, golden) in enumerate(zip(out[name], case[name], strict=True)):
        assert len(ours) == len(golden)
        for i, expected in enumerate(golden):
            said = case.get("ids", [[]])[i // n_beams][n : n + t]
            if n_beams > 1 or not set(said) & set(ends if isinstance(ends, list) else [ends]):
                close(ours[i], expected, GOLDEN["every"])
            else:
                assert not ours[i].any()


@pytest.mark.parametrize("i", range(0, len(GROUPS), 2))
def test_groups_of_beams_give_what_transformers_4_55_gives(tiny: CausalLM, i: int) -> None:
    call, case = dict(GROUPS[i]["call"]), GROUPS[i]
    inputs = np.array([call.pop("inputs")])
    out = tiny.generate(
        inputs, **call, num_return_sequences=call["num_beams"], pad_token_id=2,
        return_dict_in_generate=True, output_scores=True,
    )  # fmt: skip
    n = inputs.shape[1]
    for row, ids in zip(out.sequences, case["ids"], strict=True):
        assert row[n : n + len(ids)].tolist() == ids and set(row[n + len(ids) :]) <= {2}
    close(out.sequences_scores, case["scores"], 1)
