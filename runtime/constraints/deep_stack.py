"""Work that calls itself as deeply as its input is nested, on a stack that is large enough.

llguidance follows the rules of a grammar, and the references of a schema, by calls within calls: a
chain of some thousand would end the process. What it takes is bounded by a constraint's length.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from halfbyte.errors import EngineError

_NBYTES = 256 << 20  # of addresses; memory is what is used of them
_sizing = threading.Lock()
T = TypeVar("T")


def on_deep_stack(work: Callable[[], T]) -> T:
    """What `work` returns or raises, done by a thread of its own in the caller's context.

    Raises:
        EngineError: the system gives no such thread.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    context = contextvars.copy_context()

    def done() -> None:
        try:
            results.append(context.run(work))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=done, name="halfbyte-grammar", daemon=True)
    with _sizing:  # the size is the process's: another thread that starts now has a large one too
        before = threading.stack_size(_NBYTES)
        try:
            thread.start()
        except (RuntimeError, MemoryError) as error:
            raise EngineError("the system gives no thread to compile a grammar") from error
        finally:
            threading.stack_size(before)
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
