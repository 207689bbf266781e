"""Real signals, whose handler raises, at random times while a model is loaded and while it runs.

Prints how many hit, and fails if what comes after them are other bits than before.

    python interrupts.py load|run COUNT SEED
"""

from __future__ import annotations

import gc
import random
import signal
import sys
import time
from collections.abc import Callable

import halfbyte
from halfbyte.kernels.compiler.uninterrupted import is_unfinished

MODEL = "infill-10m"
PROBE = "def f(n):\n    return"


class Timeout(Exception):
    """What the handler raises, as servers' do."""


def hit(work: Callable[[], object], after_s: float) -> bool:
    """Whether a signal came before the work was done."""
    is_armed = True

    def handler(signum: int, frame: object) -> None:
        if is_armed:
            raise Timeout

    signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, after_s)
        work()
        is_armed = False
        return False
    except Timeout:
        return True
    finally:
        is_armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def load() -> None:
    """As in a new process: compiled code comes from the cache again."""
    jit = sys.modules.get("halfbyte.kernels.compiler.jit")
    if jit is not None and not is_unfinished():
        for item in gc.get_objects():
            if type(item) is jit.Kernel:
                item._cfunc = None
    halfbyte.load(MODEL, threads=2).close()


def answer(model: halfbyte.Model) -> tuple[object, ...]:
    """What must not change."""
    ids = model.tokenizer.encode("x = 1\n" * 60)
    return model.complete(PROBE, max_tokens=8).tokens, model.logits(ids).tobytes()


def main(what: str, count: int, seed: int) -> None:
    """Interrupt so often, then ask again."""
    rng, hits = random.Random(seed), 0
    if what == "load":
        for _ in range(count):
            hits += hit(load, rng.uniform(0, 0.2))
    with halfbyte.load(MODEL, threads=2) as model:
        begin_s, expected = time.perf_counter(), answer(model)
        step_s = time.perf_counter() - begin_s
        for _ in range(count if what == "run" else 0):
            prompt = "y = 2\n" * rng.randint(1, 60)
            hits += hit(
                lambda p=prompt: model.complete(p, max_tokens=8), rng.uniform(0, 0.2 * step_s)
            )
            assert answer(model) == expected
    with halfbyte.load(MODEL, threads=1) as model:
        assert answer(model) == expected
    print(f"{what}: {hits} of {count} hit, all bits as before")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
