"""How a model is computed, as `load` is told."""

from __future__ import annotations

import logging

from halfbyte import system
from halfbyte.call_arguments import is_whole
from halfbyte.engine.arithmetic import check_arithmetic
from halfbyte.engine.kv_cache import check_kv_type
from halfbyte.errors import RequestError
from halfbyte.families.attention_window import check_window
from halfbyte.lazy_dataclass import dataclass
from halfbyte.settings import MAX_THREADS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an engine is made of besides its model: `load` says what each means.

    `window` and `sinks` are 0 where no window was asked for.
    """

    n_threads: int
    kv_type: str
    arithmetic: str
    window: int = 0
    sinks: int = 0

    @classmethod
    def of(
        cls, threads: object, kv_type: str, arithmetic: str, window: object = None,
        sinks: object = None,
    ) -> EngineOptions:  # fmt: skip
        """Those that were given; those of `load` that may be None may be None here.

        Raises:
            RequestError: one cannot be.
        """
        n_threads = _check_threads(threads)
        check_kv_type(kv_type)
        check_arithmetic(arithmetic)
        return cls(n_threads, kv_type, arithmetic, *check_window(window, sinks))


def _check_threads(threads: object) -> int:
    if threads is None:
        return system.default_threads().count
    if not is_whole(threads) or not 1 <= threads <= MAX_THREADS:
        raise RequestError(
            "threads", expected=f"a whole number from 1 to {MAX_THREADS}", got=repr(threads)
        )
    if threads > system.n_processors():
        log.warning("threads=%d: this process may use %d processors, so they will wait for each "
                    "other", threads, system.n_processors())  # fmt: skip
    return int(threads)
