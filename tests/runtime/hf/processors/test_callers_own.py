"""A caller's own functions: what transformers gives, with tensors that NumPy stands in for.

The golden answers are torch's and transformers'; the processors of
benchmarks/make_processors_golden.py do with arrays what they do with tensors.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.errors import RequestError
from halfbyte.hf import array_kinds
from halfbyte.hf.auto_model import CausalLM

GOLDEN = json.loads(
    (Path(__file__).parents[3] / "data" / "golden_processors.json").read_text("utf-8")
)
CALL: dict[str, Any] = {"max_new_tokens": 4, "eos_token_id": None}
IDS = np.array([[1, 300, 17]])


class Tensor(np.ndarray):
    """What is used of torch's tensors."""

    def detach(self) -> Any:
        return self

    def cpu(self) -> Any:
        return self

    def is_floating_point(self) -> bool:
        return self.dtype.kind == "f"

    def float(self) -> Any:
        return self.astype(np.float32)

    def numpy(self) -> Any:
        return self.view(np.ndarray)


@pytest.fixture(autouse=True)
def torch(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoGrad:
        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None: ...

    made = SimpleNamespace(
        Tensor=Tensor, no_grad=NoGrad, from_numpy=lambda array: array.view(Tensor)
    )
    monkeypatch.setattr(array_kinds, "torch", lambda: made)


def less(input_ids: Any, scores: Any) -> Any:
    assert input_ids.dtype == np.int64 and scores.dtype == np.float32
    scores[0, input_ids[0, -3:]] -= 3.0
    return scores


def band(input_ids: Any, scores: Any) -> Any:
    begin = 40 * (input_ids.shape[1] % 5)
    made = scores - 100.0
    made[0, begin : begin + 80] += 100.0
    return made


PROCESSORS = {"less": [less], "band": [band], "both": (less, band)}


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: f"{c['processors']} {c['call']}")
def test_ids_are_those_of_transformers(tiny: CausalLM, case: dict[str, Any]) -> None:
    out = tiny.generate(
        np.array(case["inputs"]), logits_processor=PROCESSORS[case["processors"]], **case["call"]
    )
    assert out.tolist() == case["ids"]


def test_each_row_comes_by_itself_with_its_padding(tiny: CausalLM) -> None:
    seen: list[list[int]] = []

    def watch(input_ids: Any, scores: Any) -> Any:
        assert scores.shape == (1, 323)
        seen.append(input_ids[0].tolist())
        return scores

    rows = np.array([[0, 1, 280], [1, 290, 44]])
    mask = np.array([[0, 1, 1], [1, 1, 1]])
    out = tiny.generate(rows, attention_mask=mask, logits_processor=[watch], **CALL)
    plain = tiny.generate(rows, attention_mask=mask, **CALL)
    assert out.tolist() == plain.tolist()
    assert sorted(seen) == sorted(row[:n].tolist() for row in out for n in range(3, 7))


def test_criteria_and_allowed_tokens_take_tensors_too(tiny: CausalLM) -> None:
    def ends(input_ids: Any, scores: Any) -> Any:
        assert isinstance(input_ids, Tensor) and isinstance(scores[-1], Tensor)
        return input_ids[:, -1] == 105

    def allowed(batch_id: int, input_ids: Any) -> Any:
        assert batch_id == 0 and isinstance(input_ids, Tensor)
        return (100 + np.arange(len(input_ids), len(input_ids) + 1)).view(Tensor)

    out = tiny.generate(
        IDS, stopping_criteria=[ends], prefix_allowed_tokens_fn=allowed, output_scores=True,
        return_dict_in_generate=True, **CALL,
    )  # fmt: skip
    assert out.sequences[0, 3:].tolist() == [103, 104, 105]


def test_pipelines_pass_them_on(tiny: CausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    with halfbyte.AutoModelForCausalLM.from_pretrained("infill-10m", dtype="auto") as model:
        tokenizer = halfbyte.AutoTokenizer.from_pretrained("infill-10m")
        pipe = halfbyte.pipeline(model=model, tokenizer=tokenizer)

        def only(input_ids: Any, scores: Any) -> Any:
            scores[:] = -np.inf
            scores[0, 97 + 3] = 0.0
            return scores

        (made,) = pipe("x = ", max_new_tokens=4, logits_processor=[only], return_full_text=False)
        assert made["generated_text"] == "aaaa"


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda scores: None, "expected scores of shape (1, 323), got None"),
        (lambda scores: scores[0], "expected scores of shape (1, 323), got (323,)"),
        (lambda scores: "text", "expected scores of shape (1, 323), got 'text'"),
        (lambda scores: scores * np.nan, "got nan from"),
        (lambda scores: scores - np.inf, "got nothing but -inf from"),
    ],
)
def test_what_is_no_row_is_named(tiny: CausalLM, made: Any, text: str) -> None:
    with pytest.raises(RequestError) as caught:
        tiny.generate(IDS, logits_processor=[lambda ids, scores: made(scores)], **CALL)
    assert caught.value.param == "logits_processor" and text in str(caught.value)


def test_an_exception_is_the_callers(tiny: CausalLM) -> None:
    def fails(input_ids: Any, scores: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        tiny.generate(IDS, logits_processor=[fails], **CALL)
    assert tiny.generate(IDS, **CALL).shape == (1, 7)


def test_without_torch_they_get_arrays(tiny: CausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    with_tensors = tiny.generate(IDS, logits_processor=[less], **CALL)
    monkeypatch.undo()
    assert array_kinds.torch() is None
    kinds: list[type] = []

    def watch(input_ids: Any, scores: Any) -> Any:
        kinds.extend((type(input_ids), type(scores)))
        return less(input_ids, scores)

    out = tiny.generate(IDS, logits_processor=[watch], **CALL)
    assert out.tolist() == with_tensors.tolist() and set(kinds) == {np.ndarray}
