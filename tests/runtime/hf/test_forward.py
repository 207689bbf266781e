"""`model(**inputs)` against transformers' own logits and losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from halfbyte.errors import ContextLengthError, RequestError
from halfbyte.hf.auto_model import CausalLM

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "data" / "golden_generation.json").read_text("utf-8")
)
IDS = np.array([[1, 300, 301, 17]])


@pytest.mark.parametrize("case", GOLDEN["forward"], ids=lambda case: ",".join(case["call"]))
def test_logits_and_loss_are_those_of_transformers(tiny: CausalLM, case: dict[str, Any]) -> None:
    call = {k: np.array(v) if isinstance(v, list) else v for k, v in case["call"].items()}
    out = tiny(**call)
    expected = np.array(case["logits"])
    mask = np.array(call.get("attention_mask", np.ones(expected.shape[:2])), bool)
    assert out.logits.dtype == np.float32 and out.logits.shape == (*mask.shape, 323)
    assert np.abs(out.logits[..., ::40] - expected)[mask].max() < 1e-4
    assert not out.logits[~mask].any()
    if case["loss"] is None:
        assert out.loss is None and out.keys() == ["logits"] and out[0] is out.logits
    else:
        assert abs(out.loss - case["loss"]) < 1e-4
        assert out.to_tuple()[0] is out["loss"] and out[1] is out["logits"]


def test_the_last_logits_alone(tiny: CausalLM) -> None:
    whole = tiny(IDS).logits
    assert np.array_equal(tiny(input_ids=IDS, logits_to_keep=1).logits, whole[:, -1:])
    (logits,) = tiny(IDS, return_dict=False, use_cache=False, past_key_values=None)
    assert np.array_equal(logits, whole)


def test_a_loss_of_nothing(tiny: CausalLM) -> None:
    assert np.isnan(tiny(IDS, labels=np.full_like(IDS, -100)).loss)


WRONG: dict[str, tuple[Any, str]] = {
    "past_key_values": ([1], "past_key_values"),
    "use_cache": (True, "use_cache"),
    "output_hidden_states": (True, "output_hidden_states"),
    "no_such_name": (None, "no_such_name"),
    "logits_to_keep": (-1, "a whole number from 0"),
    "attention_mask": ([[1, 0, 0, 1]], "padding between tokens"),
    "labels": ([[1, 300, 301]], "labels: expected shape"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(tiny: CausalLM, name: str) -> None:
    value, said = WRONG[name]
    with pytest.raises(RequestError, match=said):
        tiny(IDS, **{name: value})


def test_inputs_that_are_refused(tiny: CausalLM) -> None:
    for labels, mask, said in (
        (IDS + 200, None, "ids below 323"),
        (IDS, [[0, 1, 1, 1]], "-100 where there is padding"),
    ):
        with pytest.raises(RequestError, match=said):
            tiny(IDS, labels=labels, attention_mask=mask)
    for mask in ([[0, 0, 0, 0]], [[1, 1, 1]]):
        with pytest.raises(RequestError, match="attention_mask"):
            tiny(IDS, attention_mask=mask)
    with pytest.raises(RequestError, match="input_ids"):
        tiny()
    with pytest.raises(ContextLengthError):
        tiny(np.full((1, 513), 300))


def test_there_is_no_cache_to_go_on_with(tiny: CausalLM) -> None:
    with pytest.raises(AttributeError, match=r"model\.generate"):
        tiny(IDS).past_key_values  # noqa: B018


def test_torch_in_torch_out(tiny: CausalLM) -> None:
    torch = pytest.importorskip("torch")
    out = tiny(torch.tensor(IDS), labels=torch.tensor(IDS))
    assert out.logits.dtype == out.loss.dtype == torch.float32
    assert np.array_equal(out.logits.numpy(), tiny(IDS).logits)
