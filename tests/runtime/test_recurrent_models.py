"""A model with recurrent layers, as users hold it: what is remembered or guessed changes no bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte
from halfbyte.errors import CacheFileError

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
TEXT = "import numpy as np\n\n\ndef mean(values):\n    " * 30
END = 2  # ends a turn


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


def load(path: Path, **options: Any) -> halfbyte.Model:
    return halfbyte.load(path, threads=2, prompt_cache_bytes=1 << 26, **options)


@pytest.fixture(scope="module")
def model(path: Path) -> Iterator[halfbyte.Model]:
    with load(path) as loaded:
        yield loaded


def told(done: Any) -> Any:
    """What must be the same."""
    if isinstance(done, list):
        return [told(one) for one in done]
    return done.tokens, done.text, done.logprobs


ASKED: dict[str, Callable[..., Any]] = {
    "complete": lambda model, **more: model.complete(TEXT, max_tokens=9, **more),
    "drawn": lambda model, **more: model.complete(TEXT, max_tokens=9, temperature=1.0, seed=3,
                                                  **more),
    "healed": lambda model, **more: model.complete(TEXT + "retu", max_tokens=9, **more),
    "several": lambda model, **more: model.complete(TEXT, n=3, max_tokens=5, seed=1,
                                                    temperature=1.0, **more),
    "beams": lambda model, **more: model.complete(TEXT, num_beams=3, max_tokens=5, **more),
    "infill": lambda model, **more: model.infill(TEXT, "\n    return total\n" * 9, max_tokens=9,
                                                 force=True, **more),
    "banned": lambda model, **more: model.complete(TEXT, max_tokens=9, temperature=1.0, seed=3,
                                                   banned_strings=["a", "e", "tion"], **more),
}  # fmt: skip


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


def chat(model: halfbyte.Model, n_turns: int) -> Any:
    """The prompt of a turn, as ids, whose end the next one does not have; and its answer."""
    ids = model.tokenizer.encode(TEXT)
    talk = [id_ for n in range(n_turns) for id_ in (*ids[n : n + 150], END)]
    return model.complete([*talk, 5, 6 + n_turns], max_tokens=5, stop_tokens=[], logprobs=1)


def test_turns_go_on_where_they_part_after_a_restart_too(path: Path, tmp_path: Path) -> None:
    reused, answers = [], []
    for _ in range(2):
        with load(path, prompt_cache_dir=tmp_path / "prompts") as model:
            model.scheduler.between_steps(model._memory.wait_for_hash)
            done = [chat(model, n) for n in range(1, 4)]
            reused.append([one.stats.n_reused for one in done])
            answers.append(told(done))
            nbytes = model.save_cache(tmp_path / "saved")
    assert reused[0] == [0, 151, 302] and reused[1] >= [151, 302, 453]
    assert answers[0] == answers[1] and nbytes == (tmp_path / "saved").stat().st_size
    with load(path) as model:
        assert model.load_cache(tmp_path / "saved") > 450
        assert [told(chat(model, n)) for n in range(1, 4)] == answers[0]
        assert chat(model, 4).stats.n_reused >= 453


def test_a_cache_of_another_model_is_one_error(model: halfbyte.Model, tmp_path: Path) -> None:
    model.save_cache(tmp_path / "saved")
    with halfbyte.load("infill-10m", threads=1) as other:
        with pytest.raises(CacheFileError, match="model"):
            other.load_cache(tmp_path / "saved")
        other.save_cache(tmp_path / "saved")
    with pytest.raises(CacheFileError, match="model"):
        model.load_cache(tmp_path / "saved")
