"""A model is not copied by pickle or copy: each process loads its own."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

import halfbyte
from halfbyte.errors import RequestError
from halfbyte.hf.auto_model import CausalLM
from halfbyte.hf.generation_config import GenerationConfig
from halfbyte.hf.pipeline import pipeline

WAYS: dict[str, Callable[[object], object]] = {
    "pickle": pickle.dumps, "copy": copy.copy, "deepcopy": copy.deepcopy,
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_what_computes_stays_in_its_process(infill_model: halfbyte.Model, way: str) -> None:
    stream = infill_model.stream("x", max_tokens=1)
    sequence = infill_model.engine.new_sequence()
    things = [infill_model, stream, infill_model.engine, sequence, sequence.kv]
    for thing in things:
        with pytest.raises(RequestError, match=r"load in each process") as caught:
            WAYS[way](thing)
        assert caught.value.param == type(thing).__name__
        assert isinstance(caught.value, TypeError)  # which is what pickle's callers catch


@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
def test_so_does_what_holds_a_model(infill_model: halfbyte.Model, way: str) -> None:
    model = CausalLM(infill_model, GenerationConfig(), "infill-10m")
    for thing in (model, pipeline(model=model), {"in": [infill_model]}):
        with pytest.raises(RequestError, match="Model: expected to stay in its process"):
            WAYS[way](thing)


def test_a_tokenizer_travels(infill_model: halfbyte.Model) -> None:
    tokenizer = pickle.loads(pickle.dumps(infill_model.tokenizer))
    text = "def f(x):\n    return 日本 + x\n"
    assert tokenizer.encode(text) == infill_model.tokenizer.encode(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
