"""transformers' names for guesses: they change nothing in what is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import halfbyte
from halfbyte import AutoModelForCausalLM, GenerationConfig
from halfbyte.errors import RequestError
from halfbyte.generation.speculation.drafter import Drafter
from halfbyte.hf import row_plan
from halfbyte.hf.auto_model import CausalLM

PROMPT = "def f(x):\n    return x\n\ndef f(x):\n    return x\n\ndef"


@pytest.fixture(scope="module")
def model() -> Iterator[CausalLM]:
    with AutoModelForCausalLM.from_pretrained("infill-10m", threads=2) as model:
        yield model


@pytest.fixture(scope="module")
def inputs() -> Any:
    return halfbyte.AutoTokenizer.from_pretrained("infill-10m")(PROMPT, return_tensors="np")


@pytest.fixture
def drafters(monkeypatch: pytest.MonkeyPatch) -> list[Drafter]:
    """Those that rows are made with."""
    made: list[Drafter] = []

    def make(**how: Any) -> Drafter:
        made.append(Drafter(**how))
        return made[-1]

    monkeypatch.setattr(row_plan, "Drafter", make)
    return made


@pytest.mark.parametrize(
    "how",
    [
        {"max_new_tokens": 30},
        {"max_new_tokens": 30, "min_new_tokens": 25, "repetition_penalty": 1.3},
        {"max_new_tokens": 20, "do_sample": True, "temperature": 0.9, "num_return_sequences": 2},
        {"max_length": 40, "stop_strings": "return"},
    ],
)
def test_rows_are_the_same_with_guesses_and_without(
    model: CausalLM, inputs: Any, drafters: list[Drafter], how: dict[str, Any]
) -> None:
    outs = []
    guessing: list[dict[str, Any]] = [
        {}, {"prompt_lookup_num_tokens": 10},
        {"assistant_model": model, "num_assistant_tokens": 5}, {"assistant_model": "infill-10m"},
    ]  # fmt: skip
    for more in guessing:
        halfbyte.set_seed(5)
        outs.append(model.generate(**inputs, **how, **more).tolist())
    assert outs[1:] == outs[:1] * 3
    n = how.get("num_return_sequences", 1)
    assert [d.asks_model for d in drafters] == [False] * n + [True] * 2 * n


def test_what_is_no_assistant_is_refused(model: CausalLM, inputs: Any) -> None:
    with pytest.raises(RequestError, match="assistant_model"):
        model.generate(**inputs, max_new_tokens=2, assistant_model=3)
    with pytest.raises(RequestError, match="prompt_lookup_num_tokens"):
        GenerationConfig(prompt_lookup_num_tokens=0)
