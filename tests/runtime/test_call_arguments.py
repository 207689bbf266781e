"""Names that are not ours get a hint; NumPy's whole numbers are whole numbers everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import halfbyte
from halfbyte.call_arguments import is_whole
from halfbyte.hf.generation import set_seed

MESSAGES = [{"role": "user", "content": "x"}]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("n_ctx", "it is ctx here"),
        ("num_ctx", "it is ctx here"),
        ("n_gpu_layers", "computes on the CPU"),
        ("thread", "did you mean threads?"),
        ("quux", "known are threads, ctx, kv_type, arithmetic, attention_window"),
    ],
)
def test_load_says_what_is_meant(name: str, hint: str) -> None:
    arguments: Any = {name: 4}
    with pytest.raises(TypeError) as caught:
        halfbyte.load("infill-10m", **arguments)
    assert isinstance(caught.value, halfbyte.RequestError)
    assert caught.value.param == name and hint in caught.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("max_token", "did you mean max_tokens?"),
        ("max_new_tokens", "it is max_tokens here"),
        ("temp", "it is temperature here"),
        ("n_ctx", "halfbyte.load takes ctx"),
        ("quux", "known are max_tokens, temperature"),
    ],
)
def test_so_do_generating_calls(infill_model: halfbyte.Model, name: str, hint: str) -> None:
    arguments: Any = {name: 4}
    calls = [lambda: infill_model.complete("x", **arguments)]
    calls.append(lambda: infill_model.infill("x", "y", **arguments))
    calls.append(lambda: infill_model.chat(MESSAGES, format="llama-2", **arguments))
    for call in calls:
        with pytest.raises(halfbyte.RequestError) as caught:
            call()
        assert caught.value.param == name and hint in caught.value.hint


def test_whole_numbers() -> None:
    for value in (0, -3, 2**70, np.int8(1), np.uint64(2**63)):
        assert is_whole(value)
    for other in (True, np.bool_(True), 1.0, np.float32(1), "1", None, np.array(1)):
        assert not is_whole(other)


def test_numpy_s_are_taken_everywhere() -> None:
    one = np.int64(1)
    with halfbyte.load("infill-10m", threads=one, ctx=np.int32(64)) as model:
        assert (model.n_threads, model.n_ctx) == (1, 64)
        assert type(model.n_ctx) is int
        params: Any = {"max_tokens": np.uint8(2), "seed": one, "top_k": one, "temperature": one}
        expected = model.complete([5, 6], max_tokens=2, seed=1, top_k=1, temperature=1)
        for ids in ([np.int64(5), np.int16(6)], np.array([5, 6], np.uint64)):
            assert model.complete(ids, **params).tokens == expected.tokens
            assert (model.logits(ids) == model.logits([5, 6])).all()
        assert model.tokenizer.decode(np.array([5, 6])) == model.tokenizer.decode([5, 6])
        assert model.tokenizer.token_bytes(np.int64(70)) == model.tokenizer.token_bytes(70)
    set_seed(one)
    tokenizer = halfbyte.AutoTokenizer.from_pretrained("infill-10m")
    assert tokenizer.convert_ids_to_tokens(np.int64(70)) == tokenizer.convert_ids_to_tokens(70)
    assert tokenizer.decode(np.int64(70)) == tokenizer.decode(70)
    assert tokenizer.encode([np.int64(5)]) == tokenizer.encode([5])
