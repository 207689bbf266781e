"""What is asked of models that remember more than pages of a sequence: with the same answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.engine import engine as engine_module
from halfbyte.engine import kv_cache
from halfbyte.families.config import ModelConfig
from halfbyte.generation.speculation import credit, planned
from halfbyte.kernels.layouts.kv_pages import KVLayout

TEXT = "import numpy as np\n\n\ndef mean(values):\n    " * 30
END = 2  # ends a turn


def load(path: Path, **options: Any) -> halfbyte.Model:
    return halfbyte.load(path, threads=2, prompt_cache_bytes=1 << 26, **options)


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


def chat(model: halfbyte.Model, n_turns: int) -> Any:
    """The prompt of a turn, as ids, whose end the next one does not have; and its answer."""
    ids = model.tokenizer.encode(TEXT)
    talk = [id_ for n in range(n_turns) for id_ in (*ids[n : n + 150], END)]
    return model.complete([*talk, 5, 6 + n_turns], max_tokens=5, stop_tokens=[], logprobs=1)


def turns_go_on(path: Path, tmp_path: Path, last: int) -> None:
    """Where they part, after a restart and from a saved cache too; then a turn of that number."""
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
        assert chat(model, last).stats.n_reused >= 450


@contextmanager
def nothing_is_let_go() -> Iterator[None]:
    """What is loaded meanwhile keeps what its windows no longer see."""

    def whole(config: ModelConfig, kv_type: str, n_ctx: int) -> KVLayout:
        return kv_cache.kv_layout(config, kv_type, 1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "kv_layout", whole)
        yield


def letting_go_changes_no_bit(model: halfbyte.Model, keeping: halfbyte.Model, name: str) -> None:
    """Of one of ASKED, twice, where `keeping` lets nothing go."""
    more = {"logprobs": 2} if name != "banned" else {}
    kept = ASKED[name](keeping, cache_scope=f"nobody {name}", **more)
    for _ in range(2):
        again = ASKED[name](model, cache_scope=f"somebody {name}", **more)
        assert told(again) == told(kept)
    one = again[0] if isinstance(again, list) else again
    assert one.stats.n_reused >= one.stats.n_prompt - 8


def guesses_change_no_bit(
    model: halfbyte.Model, keeping: halfbyte.Model, drafting: halfbyte.Model
) -> None:
    """Right ones, wrong ones, and those of a model that has a draft model."""

    def asked(by: halfbyte.Model, **more: Any) -> Any:
        return by.complete(TEXT, max_tokens=60, logprobs=1, **more)

    plain = asked(keeping, speculate=False)
    guesses = list(plain.tokens)
    guesses[7], guesses[20] = 77, 78
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planned, "GAIN", 0.0)  # whatever they cost
        patch.setattr(credit, "_FIRST", math.inf)
        patch.setattr(credit, "_MOST", math.inf)
        for by, prediction in ((model, plain.tokens), (model, guesses), (drafting, [])):
            done = asked(by, prediction=prediction)
            assert told(done) == told(plain)
            assert done.stats.n_drafted >= done.stats.n_accepted > 0
