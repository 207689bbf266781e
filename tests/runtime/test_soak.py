"""Thousands of callers that come, leave, give up and fail: memory stays flat, answers stay right.

`make test-soak` has ten thousand of them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte

N_CALLS = int(os.environ.get("N_CALLS", "80"))
N_THREADS = 6
# Bytes, in the second half of the calls: of fewer than a thousand, or of so many that what is
# bounded (n-grams, grammars, the allocator's own) has grown to its bounds in the first half.
MAX_GROWTH = 16e6
PROMPTS = [[3 + i, *range(5, 5 + 37 * i % 290)] for i in range(20)]
DRAWN: dict[str, Any] = {"max_tokens": 6, "stop_tokens": [], "temperature": 1.0, "seed": 3}
FEW: dict[str, Any] = {"max_tokens": 5}
CODE = "def f(a, b):\n    return a + b\n\n\ndef g(a):\n    return f(a, 1)\n"
CHAT: Any = [{"role": "user", "content": "hi"}]
Ask = Callable[[], Any]
Disturb = Callable[[halfbyte.Model, random.Random], None]


def _asked(model: halfbyte.Model) -> list[Ask]:
    """Calls whose answers are known beforehand: of all kinds that the model takes."""

    def completing(prompt: Any, **how: Any) -> Ask:
        return lambda: model.complete(prompt, **how)

    asked = [completing(prompt, **DRAWN) for prompt in PROMPTS]
    asked += [
        completing(PROMPTS[1:4], **DRAWN),
        completing(PROMPTS[5], n=3, **DRAWN),
        completing(PROMPTS[6], n=2, num_beams=3, max_tokens=4),
        completing(PROMPTS[7], logprobs=3, prompt_logprobs=1, **DRAWN),
        completing(PROMPTS[8], lookup=[PROMPTS[9]], prediction=PROMPTS[8][:9], **DRAWN),
        completing(CODE, regex="[a-z_ ]+", **FEW),
        completing(CODE, banned_strings=["a", "e"], **FEW),
        lambda: "".join(model.stream(PROMPTS[10], priority=3, **DRAWN)),
        lambda: model.chat(CHAT, format="llama-2", **DRAWN),
        lambda: asyncio.run(model.acomplete(PROMPTS[11], **DRAWN)),
        lambda: asyncio.run(_streamed(model)),
        lambda: model.logits(PROMPTS[12]).tobytes(),
    ]
    if not model.adapters:  # the other model cannot infill
        asked += [
            lambda: model.infill(CODE[:20], CODE[30:], single_line=True, **FEW),
            lambda: model.infill(CODE[:25], CODE[30:], n=2, min_confidence=0.01, seed=1, **FEW),
            lambda: model.edit("a.py", CODE, (2, 5), **FEW),
        ]
    asked += [completing(PROMPTS[13], adapter=name, **DRAWN) for name in model.adapters]
    return asked


async def _streamed(model: halfbyte.Model) -> str:
    return "".join([piece async for piece in model.astream(PROMPTS[11], **DRAWN)])


def _told(answer: Any) -> Any:
    """What must be the same each time: not what it cost."""
    if isinstance(answer, list):
        return [_told(one) for one in answer]
    if isinstance(answer, halfbyte.Completion):
        return answer.text, answer.tokens, answer.finish_reason, answer.logprobs, answer.score
    return answer.full_text if isinstance(answer, halfbyte.Edit) else answer


def _leave(model: halfbyte.Model, chance: random.Random) -> None:
    stream = model.stream(chance.choice(PROMPTS), **{**DRAWN, "max_tokens": 400})
    next(stream)
    if chance.random() < 0.5:
        stream.close()  # else it is dropped


def _close_from_elsewhere(model: halfbyte.Model, chance: random.Random) -> None:
    stream = model.stream(chance.choice(PROMPTS), **{**DRAWN, "max_tokens": 400})
    closer = threading.Timer(0.002, stream.close)
    closer.start()
    try:
        stream.result()
    except halfbyte.HalfbyteError:
        assert closer.finished.wait(60)  # it was closed, and nothing else
    else:  # where the machine did other things, the answer was there first
        assert not closer.finished.is_set()
    closer.join()


def _run_out_of_time(model: halfbyte.Model, chance: random.Random) -> None:
    how = {**DRAWN, "max_tokens": 200, chance.choice(["timeout", "max_time"]): 0.001}
    try:
        done: Any = model.complete(chance.choice(PROMPTS) * 3, **how)
    except halfbyte.RequestTimeoutError as error:
        done = error.completion
    assert len(done.tokens) < 200


def _cancel_a_task(model: halfbyte.Model, chance: random.Random) -> None:
    async def give_up() -> None:
        how = {**DRAWN, "max_tokens": 400}
        await asyncio.wait_for(model.acomplete(chance.choice(PROMPTS), **how), 0.003)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(give_up())


def _fail(model: halfbyte.Model, chance: random.Random) -> None:
    def failing(*_: Any) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        model.complete(chance.choice(PROMPTS), progress=failing, **DRAWN)
    with pytest.raises(LookupError):
        model.complete(chance.choice(PROMPTS), logits_processor=failing, **DRAWN)


def _ask_wrongly(model: halfbyte.Model, chance: random.Random) -> None:
    wrong: Sequence[dict[str, Any]] = (
        {"max_tokens": -1}, {"temperature": float("nan")}, {"timeout": -1.0}, {"n": 0},
        {"regex": "("}, {"adapter": "none"}, {"num_beams": 2, "temperature": 1.0}, {"logprobs": -2},
    )  # fmt: skip
    with pytest.raises((halfbyte.RequestError, ValueError)):
        model.complete(chance.choice(PROMPTS), **chance.choice(wrong))


def _leave_a_loop(model: halfbyte.Model, chance: random.Random) -> None:
    for _ in model.stream(chance.choice(PROMPTS), priority=chance.choice([0.1, 1, 10]), **DRAWN):
        break


DISTURBANCES: Sequence[Disturb] = (
    _leave, _close_from_elsewhere, _run_out_of_time, _cancel_a_task, _fail, _ask_wrongly,
    _leave_a_loop,
)  # fmt: skip


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _soak(model: halfbyte.Model) -> None:
    """Half of the calls are answered as they are alone, half are given up in some way."""
    asked = _asked(model)
    expected = [_told(ask()) for ask in asked]

    def call(i: int) -> None:
        chance = random.Random(i)
        if chance.random() < 0.5:
            chance.choice(DISTURBANCES)(model, chance)
        else:
            k = chance.randrange(len(asked))
            assert _told(asked[k]()) == expected[k], k

    seen: list[int] = []
    with ThreadPoolExecutor(N_THREADS) as pool:
        for begin in range(0, N_CALLS // 2, N_CALLS // 20):
            list(pool.map(call, range(begin, begin + N_CALLS // 20)))
            gc.collect()
            seen.append(_resident())
    assert seen[-1] - seen[len(seen) // 2] < MAX_GROWTH, seen
    idle = model.scheduler.between_steps(lambda: model.scheduler._worker.batch.is_idle)
    assert idle and model.engine.pages.nbytes <= 4 << 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no way to see memory")
@pytest.mark.parametrize("name", ["tiny", "infill-10m"])
def test_memory_is_flat_and_answers_are_right(
    name: str,
    tiny_gguf: Path,
    tiny_folder: Path,
    tmp_path: Path,
    benchmark_module: Callable[[str], ModuleType],
) -> None:
    path: Any = tiny_gguf if name == "tiny" else name
    with halfbyte.load(path, threads=2, ctx=2000, prompt_cache_bytes=4 << 20) as model:
        if name == "tiny":
            from safetensors.numpy import load_file

            made = benchmark_module("tiny_adapter")
            weights = load_file(tiny_folder / "model.safetensors")
            for seed in range(2):
                adapter = made.TinyAdapter(seed, r=4, alpha=8, modules=made.ATTENTION)
                model.load_adapter(made.save(adapter, weights, tmp_path / f"a{seed}"))
        _soak(model)
