"""Thousands of callers that come, leave, give up and fail: memory stays flat, answers stay right.

`make test-soak` has ten thousand of them.
"""

from __future__ import annotations

import gc
import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import halfbyte

N_CALLS = int(os.environ.get("N_CALLS", "150"))
N_THREADS = 6
MAX_GROWTH = 16e6  # bytes, from a fifth of the calls to the end
PROMPTS = [[3 + i, *range(5, 5 + 37 * i % 290)] for i in range(40)]
HOW: dict[str, Any] = {"max_tokens": 6, "stop_tokens": [], "temperature": 1.0, "seed": 3}


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _call(model: halfbyte.Model, i: int, expected: list[list[int]]) -> None:
    """One of six ways to use a model, by chance."""
    chance = random.Random(i)
    k = chance.randrange(len(PROMPTS))
    way = chance.randrange(6)
    if way == 0:
        some = [chance.randrange(len(PROMPTS)) for _ in range(3)]
        done = [model.complete(PROMPTS[j], **HOW) for j in some]
        assert [one.tokens for one in done] == [expected[j] for j in some]
    elif way == 1:
        stream = model.stream(PROMPTS[k], **{**HOW, "max_tokens": 400})
        next(stream)
        if chance.random() < 0.5:
            stream.close()  # else it is dropped
    elif way == 2:
        try:
            model.complete(PROMPTS[k] * 3, timeout=0.001, **{**HOW, "max_tokens": 50})
        except halfbyte.RequestTimeoutError:
            pass
    elif way == 3:
        with pytest.raises(LookupError):
            model.complete(PROMPTS[k], progress=_failing, **HOW)
    elif way == 4:
        for _ in model.stream(PROMPTS[k], priority=chance.choice([0.1, 1, 10]), **HOW):
            break
    else:
        assert model.complete(PROMPTS[k], **HOW).tokens == expected[k]


def _failing(stage: str, done: int, total: int) -> None:
    raise LookupError(stage)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no way to see memory")
def test_memory_is_flat_and_answers_are_right(tiny_gguf: Path) -> None:
    with halfbyte.load(tiny_gguf, threads=2, ctx=2000, prompt_cache_bytes=4 << 20) as model:
        expected = [model.complete(prompt, **HOW).tokens for prompt in PROMPTS]
        seen: list[int] = []
        with ThreadPoolExecutor(N_THREADS) as pool:
            for begin in range(0, N_CALLS, N_CALLS // 10):
                calls = range(begin, begin + N_CALLS // 10)
                list(pool.map(lambda i: _call(model, i, expected), calls))
                gc.collect()
                seen.append(_resident())
        assert seen[-1] - seen[1] < MAX_GROWTH, seen
        idle = model.scheduler.between_steps(lambda: model.scheduler._worker.batch.is_idle)
        assert idle and model.engine.pages.nbytes <= 4 << 20
        assert sum(t.name == "halfbyte-engine" for t in threading.enumerate()) >= 1
