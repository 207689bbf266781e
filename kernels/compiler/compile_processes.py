"""Several kernels at once: each of a few processes compiles one after another.

They put what they make into the cache, from where it is loaded as in any other start, so that this
process neither imports Numba nor has its memory.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from queue import Empty, SimpleQueue

from halfbyte.kernels.compiler.uninterrupted import leave_if_unwanted

log = logging.getLogger(__name__)

# How another process finds a kernel: a module, a name in it, and the arguments of a function.
Maker = tuple[str, str, tuple[str | int, ...] | None]

# The folder that the user is in comes first in Python's path after "-c": files there are not ours.
_MAIN = (
    "import sys; sys.path[:] = [one for one in sys.path if one]; "
    "import json; sys.path[:] = json.loads(sys.stdin.readline()); "
    f"from {__package__}.compile_server import serve; serve()"
)
_LOOK_S = 0.1
_SILENT_S = 120  # the slowest kernel takes 5 s


def compiled(
    makers: Sequence[Maker], words: tuple[str, str, str], n_processes: int
) -> Iterator[Maker]:
    """Yields what has been compiled, as it comes; what cannot be is left out.

    Args:
        makers: of the kernels.
        words: the instructions that all is for, whatever another process would choose for itself;
            the folder that it goes to; and the key of this process's sources (jit.cache_key).
        n_processes: at a time.
    """
    if getattr(sys, "frozen", False) or not sys.executable:
        return  # no interpreter to start: a frozen program would begin anew, and again in each
    waiting, made = deque(makers), SimpleQueue[Maker | None]()
    path = [one for one in sys.path if isinstance(one, str)]  # as imports take it
    begin = "".join(json.dumps(words) + "\n" for words in (path, words))
    processes: list[subprocess.Popen[str]] = []
    try:
        for _ in range(n_processes):
            processes.append(_start())
            args = processes[-1], begin, waiting, made
            threading.Thread(target=_feed, args=args, daemon=True).start()
        n_running, heard_s = n_processes, time.monotonic()
        while n_running:
            leave_if_unwanted()
            try:
                item = made.get(timeout=_LOOK_S)
            except Empty:
                if time.monotonic() - heard_s > _SILENT_S:
                    log.warning("processes that compile kernels are silent for %d s: this one goes "
                                "on alone", _SILENT_S)  # fmt: skip
                    return
                continue
            heard_s = time.monotonic()
            if item is None:
                n_running -= 1
            else:
                yield item
    except (OSError, RuntimeError) as error:
        log.info("no processes to compile kernels (%s)", error)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _start() -> subprocess.Popen[str]:
    # A terminal's Ctrl-C is for this process, which ends the others.
    return subprocess.Popen(
        [sys.executable, "-c", _MAIN],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def _feed(
    process: subprocess.Popen[str],
    begin: str,
    waiting: deque[Maker],
    made: SimpleQueue[Maker | None],
) -> None:
    """Give a process one kernel after another, as long as it makes them."""
    assert process.stdin is not None and process.stdout is not None
    try:
        with process.stdin, process.stdout:
            process.stdin.write(begin)
            while waiting:
                item = waiting.popleft()
                process.stdin.write(json.dumps(item) + "\n")
                process.stdin.flush()
                if not process.stdout.readline():
                    log.info("a process that compiled %s has ended", item[1])
                    break
                made.put(item)
    except (OSError, ValueError, IndexError) as error:
        log.info("a process that compiled kernels has ended (%s)", error)
    finally:
        made.put(None)
