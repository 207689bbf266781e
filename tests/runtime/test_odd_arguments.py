"""Arguments of odd types are RequestErrors that name them, whatever is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.quality.texts import token_windows

RAGGED = np.array([[1], [2, 3]], object)
MIXED = np.array([1, "a"], object)
FLAT = np.array(1)
ODD: list[Any] = [
    None,
    1.5,
    "x",
    b"x",
    [],
    object(),
    FLAT,
    MIXED,
    RAGGED,
    {"a": 1},
    [[1, 2]],
    ["a"],
]


@pytest.mark.parametrize("value", [*ODD, [1, [2]], np.array([1.5]), np.array([[1, 2]])])
def test_ids(infill_model: halfbyte.Model, value: Any) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.logits(value)
    assert caught.value.param.startswith("ids")


@pytest.mark.parametrize("value", [RAGGED, MIXED, FLAT, [1, "a"], ["a", 1], [None], ["a", FLAT]])
def test_prompts(infill_model: halfbyte.Model, value: Any) -> None:
    if value is RAGGED:  # two prompts
        assert len(infill_model.complete(value, max_tokens=1)) == 2
        return
    with pytest.raises(halfbyte.RequestError) as caught:
        infill_model.complete(value)
    assert caught.value.param.startswith("prompt")


@pytest.mark.parametrize("value", [None, 1.5, "x", [1.5], [None], FLAT, MIXED, [[1]]])
def test_decoding(infill_model: halfbyte.Model, value: Any) -> None:
    with pytest.raises(halfbyte.RequestError):
        infill_model.tokenizer.decode(value)


@pytest.mark.parametrize("value", [None, 1.5, "x", [1], True])
def test_single_tokens(infill_model: halfbyte.Model, value: Any) -> None:
    for call in (infill_model.tokenizer.token_bytes, infill_model.tokenizer.piece):
        with pytest.raises(halfbyte.RequestError, match="token: expected a token id"):
            call(value)


@pytest.mark.parametrize("value", [None, 5, b"x", ["x"]])
def test_texts(infill_model: halfbyte.Model, value: Any) -> None:
    tokenizer = infill_model.tokenizer
    for call in (tokenizer.encode, tokenizer.id_of, halfbyte.Tokenizer.from_path, halfbyte.pull):
        with pytest.raises(halfbyte.RequestError):
            call(value)


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b"], ids=["long", "null"])
def test_a_path_that_cannot_be(path: str) -> None:
    with pytest.raises(halfbyte.ModelFileError):
        halfbyte.Tokenizer.from_path(path)


@pytest.mark.parametrize("value", [None, [], {}, FLAT, b"f16"])
def test_loading(value: Any) -> None:
    with pytest.raises(halfbyte.RequestError) as caught:
        halfbyte.load("infill-10m", kv_type=value)
    assert caught.value.param == "kv_type"


def test_sampling_and_the_rest(infill_model: halfbyte.Model) -> None:
    for name in ("stop", "stop_tokens"):
        with pytest.raises(halfbyte.RequestError, match=name):
            halfbyte.SamplingParams(**{name: FLAT})
    for odd in (None, 1.5, -1, "x"):
        with pytest.raises(halfbyte.RequestError, match="n_positions"):
            infill_model.kv_nbytes(odd)
    with pytest.raises(halfbyte.RequestError, match="window: expected a whole number from 2"):
        token_windows(infill_model.tokenizer, "x = 1", 1)


def test_a_closed_model_has_a_repr() -> None:
    model = halfbyte.load("infill-10m", threads=1)
    model.close()
    assert repr(model).endswith(", vocabulary 8016, closed>")


@pytest.mark.parametrize("value", [5, None, b"x", ["x"]])
def test_paths_of_what_transformers_names(value: Any) -> None:
    for call in (
        halfbyte.AutoModelForCausalLM.from_pretrained,
        halfbyte.AutoTokenizer.from_pretrained,
        halfbyte.AutoConfig.from_pretrained,
        halfbyte.GenerationConfig.from_pretrained,
        halfbyte.CodeLlamaTokenizer,
    ):
        with pytest.raises(halfbyte.RequestError, match="expected a path or a name"):
            call(value)


def test_a_generation_config_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError, match=r"generation_config\.json"):
        halfbyte.GenerationConfig.from_pretrained("no/such/folder")


def test_parameters_of_a_closed_model() -> None:
    model = halfbyte.AutoModelForCausalLM.from_pretrained("infill-10m")
    model.close()
    with pytest.raises(halfbyte.EngineError, match="closed"):
        model.num_parameters()
