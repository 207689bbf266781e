"""What is asked of models that remember more than pages of a sequence: with the same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import halfbyte

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
