"""A model with recurrent layers, as users hold it: what is remembered or guessed changes no bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte
from halfbyte.errors import CacheFileError
from tests.runtime.asked_models import ASKED, TEXT, load, told, turns_go_on

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def path(
    benchmark_module: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A file of random weights, which infills and writes words."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        folder = tmp_path_factory.mktemp("recurrent")
        made: Path = benchmark_module("synth_infill").ensure("tiny-lfm2", folder)
    return made


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[halfbyte.Model]:
    with load(path) as loaded:
        yield loaded


@pytest.mark.parametrize("name", ASKED)
def test_what_is_remembered_changes_no_bit(model: halfbyte.Model, name: str) -> None:
    more = {"logprobs": 2} if name != "banned" else {}
    fresh = ASKED[name](model, cache_scope=f"nobody {name}", **more)
    for _ in range(2):
        again = ASKED[name](model, cache_scope=f"somebody {name}", **more)
        assert told(again) == told(fresh)
    one = again[0] if isinstance(again, list) else again
    assert one.stats.n_reused > one.stats.n_prompt - 80


def test_guesses_and_a_draft_model_change_no_bit(model: halfbyte.Model, path: Path) -> None:
    def asked(by: halfbyte.Model, **more: Any) -> Any:
        return by.complete(TEXT, max_tokens=40, logprobs=1, cache_scope=str(more), **more)

    plain = asked(model, speculate=False)
    guesses = list(plain.tokens)
    guesses[7], guesses[20] = 77, 78
    with load(path, draft=path) as drafting:
        for by, prediction in ((model, plain.tokens), (model, guesses), (drafting, [])):
            done = asked(by, prediction=prediction)
            assert told(done) == told(plain)
            if prediction:
                assert done.stats.n_drafted >= done.stats.n_accepted > 0


def test_who_shares_a_step_changes_no_bit(model: halfbyte.Model) -> None:
    """With guesses, which each of them has: their texts repeat themselves."""
    prompts = [TEXT, TEXT[:700] + "return", TEXT[:1300], TEXT[:1300] + "total"]
    more = {"max_tokens": 20, "logprobs": 1, "temperature": 0.8}
    together = model.complete(prompts, cache_scope="together", seed=5, **more)
    alone = [
        model.complete(text, cache_scope=f"alone {i}", seed=5 + i, **more)
        for i, text in enumerate(prompts)
    ]
    assert told(together) == told(alone)


def test_turns_go_on_where_they_part_after_a_restart_too(path: Path, tmp_path: Path) -> None:
    turns_go_on(path, tmp_path, last=4)


def test_a_cache_of_another_model_is_one_error(model: halfbyte.Model, tmp_path: Path) -> None:
    model.save_cache(tmp_path / "saved")
    with halfbyte.load("infill-10m", threads=1) as other:
        with pytest.raises(CacheFileError, match="model"):
            other.load_cache(tmp_path / "saved")
        other.save_cache(tmp_path / "saved")
    with pytest.raises(CacheFileError, match="model"):
        model.load_cache(tmp_path / "saved")
