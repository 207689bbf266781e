"""What chat does where its caller says nothing: the makers' values, else llama.cpp's."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.errors import RequestError
from halfbyte.generation.chat_defaults import chat_defaults, chat_params

USUAL = {"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repetition_penalty": 1.0}


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({}, USUAL),
        ({"repetition_penalty": 1.1}, {**USUAL, "repetition_penalty": 1.1}),
        # As transformers reads it: top_k is 50 where it is left out, and there is no min_p.
        ({"temperature": 0.6, "top_p": 0.9}, {"temperature": 0.6, "top_k": 50, "top_p": 0.9}),
        ({"top_k": 20}, {"temperature": 1.0, "top_k": 20}),
        ({"temperature": 0.0, "repetition_penalty": 1.2},
         {"temperature": 0.0, "repetition_penalty": 1.2}),
        ({"temperature": -1.0, "top_k": -1}, {"temperature": 0}),
        ({"xtc_probability": 0.5, "penalty_window": -1},
         {**USUAL, "xtc_probability": 0.5, "penalty_window": 0}),
        ({"mirostat": 2, "mirostat_tau": 3.0, "samplers": "top_k;temperature"},
         {**USUAL, "mirostat": 2, "mirostat_tau": 3.0, "samplers": "top_k;temperature"}),
    ],
)  # fmt: skip
def test_defaults(stated: dict[str, float], expected: dict[str, float]) -> None:
    assert chat_defaults(stated, "m.gguf") == expected


def test_what_is_out_of_range_is_left_out_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    stated = {"temperature": 0.5, "top_p": 1.5, "repetition_penalty": 1e9, "top_k": 2.5}
    with caplog.at_level(logging.WARNING):
        assert chat_defaults(stated, "m.gguf") == {"temperature": 0.5, "top_k": 50}
    assert len(caplog.records) == 3
    for name in ("top_p", "repetition_penalty", "top_k"):
        assert f"m.gguf: general.sampling: {name}: expected" in caplog.text


def test_what_is_given_goes_first() -> None:
    stated = {"temperature": 0.6, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.1}
    params = chat_params(stated, {"top_p": 0.5, "max_tokens": 3})
    assert (params.temperature, params.top_k, params.top_p) == (0.6, 20, 0.5)
    assert (params.repetition_penalty, params.max_tokens) == (1.1, 3)
    # No filters at temperature 0, where they would do nothing.
    params = chat_params(stated, {"temperature": 0})
    assert (params.top_k, params.top_p, params.repetition_penalty) == (0, 1.0, 1.1)
    assert chat_params({"temperature": 0.0}, {"temperature": 0.7}).temperature == 0.7


def test_defaults_without_effect_are_left_out_silently(caplog: pytest.LogCaptureFixture) -> None:
    stated = {"temperature": 0.6, "top_k": 20, "mirostat_tau": 3.0, "penalty_window": 5}
    params = chat_params(stated, {"mirostat": 1})
    assert (params.top_k, params.mirostat, params.mirostat_tau) == (0, 1, 3.0)
    assert params.penalty_window is None
    params = chat_params({"mirostat": 2, **stated}, {"mirostat": 0, "presence_penalty": 1.0})
    assert (params.top_k, params.mirostat_tau, params.penalty_window) == (20, 5.0, 5)
    assert chat_params(stated, {"samplers": ["temperature"]}).top_k == 0
    assert not caplog.records
    chat_params(stated, {"mirostat": 2, "top_p": 0.5})
    assert [r.getMessage() for r in caplog.records] == ["top_p has no effect with mirostat"]


def test_bad_values_of_a_chat() -> None:
    stated = {"temperature": 0.6}
    for bad in ({"temprature": 1}, {"temperature": -1}, {"top_p": "x"}):
        with pytest.raises(RequestError) as caught:
            chat_params(stated, bad)
        assert caught.value.param == next(iter(bad))


@pytest.fixture(scope="module")
def load(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """The small model, converted with a generation_config.json of these values."""

    def load(**stated: Any) -> halfbyte.Model:
        folder = tmp_path_factory.mktemp("sampling") / "hf"
        shutil.copytree(tiny_folder, folder)
        (folder / "generation_config.json").write_text(json.dumps(stated))
        path = folder.with_suffix(".gguf")
        halfbyte.convert(folder, path, type="q8_0", measure=False)
        return halfbyte.load(path, threads=1)

    return load


HELLO = [{"role": "user", "content": "ab cd"}]


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ({}, {k: v for k, v in USUAL.items() if v != 1.0}),
        ({"do_sample": True, "temperature": 2.5, "top_k": 7}, {"temperature": 2.5, "top_k": 7}),
        ({"do_sample": False, "temperature": 2.5}, {}),
    ],
)
def test_a_chat_draws_as_its_file_says(
    load: Callable[..., Any], stated: dict[str, Any], meant: dict[str, Any]
) -> None:
    with load(**stated) as model:
        ids = model.tokenizer.encode("[INST] ab cd [/INST]")
        for seed in range(3):
            how = {"seed": seed, "max_tokens": 12}
            done = model.chat(HELLO, format="llama-2", **how)
            assert done.tokens == model.complete(ids, **meant, **how).tokens
            assert done.seed == (seed if meant else None)
        greedy = model.chat(HELLO, format="llama-2", temperature=0, max_tokens=12)
        assert greedy.tokens == model.complete(ids, max_tokens=12).tokens
        assert greedy.seed is None


def test_a_seed_that_was_drawn_is_told(load: Callable[..., Any]) -> None:
    with load() as model:
        how: dict[str, Any] = {"temperature": 3.0, "max_tokens": 12}
        calls: dict[str, Callable[..., Any]] = {
            "chat": lambda **more: model.chat(HELLO, format="llama-2", **how, **more),
            "complete": lambda **more: model.complete("ab", **how, **more),
            "stream": lambda **more: model.stream("ab", **how, **more).result(),
        }
        for call in calls.values():
            first, second = call(), call()
            assert first.seed != second.seed and first.tokens != second.tokens
            assert call(seed=first.seed).tokens == first.tokens
