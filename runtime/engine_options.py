"""How a model is computed, as `load` is told."""

from __future__ import annotations

import logging

from halfbyte import system
from halfbyte.call_arguments import is_whole
from halfbyte.engine.arithmetic import check_arithmetic
from halfbyte.engine.kv_cache import check_kv_type
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.settings import MAX_THREADS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an engine is made of besides its model: `load` says what each means."""

    n_threads: int
    kv_type: str
    arithmetic: str

    @classmethod
    def of(cls, threads: object, kv_type: str, arithmetic: str) -> EngineOptions:
        """Those that were given; `threads` may be None. RequestError where one cannot be."""
        n_threads = _check_threads(threads)
        check_kv_type(kv_type)
        check_arithmetic(arithmetic)
        return cls(n_threads, kv_type, arithmetic)


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
