"""The command `halfbyte`, also as `python -m halfbyte`: what runs before and after cli.main.

Ctrl-C ends the command with exit code 130 and without a traceback, from here on: while modules are
imported and when the command is over, at once, since there is nothing that a KeyboardInterrupt
would have to clean up.
"""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from types import FrameType
else:
    import _signal as signal  # without the enumerations that signal makes of it, for milliseconds


def main() -> int:
    """Run the command of the process's arguments; returns the exit code."""
    hears = signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def on_interrupt(handler: Callable[[int, FrameType | None], object]) -> None:
        if hears:  # and was not started to ignore it
            signal.signal(signal.SIGINT, handler)

    on_interrupt(_leave)
    gc.set_threshold(_MANY_OBJECTS)
    os.environ.setdefault(*_BLAS_SLEEPS)
    from halfbyte.cli import main as run
    from halfbyte.kernels.compiler.uninterrupted import is_unfinished

    try:
        code = run(begin=lambda: on_interrupt(signal.default_int_handler))
    except KeyboardInterrupt:  # another one, while the first was told
        code = _INTERRUPTED
    on_interrupt(_leave)
    gc.freeze()  # else Python looks through all objects for garbage, twice, before it ends
    if code == _INTERRUPTED and is_unfinished():
        # The compiler, which cannot be stopped, would keep the process for seconds.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


_INTERRUPTED = 130
# Modules and vocabularies are objects that stay: a twentieth of a start would go by in looking
# through them again for garbage, after each 700 new ones.
_MANY_OBJECTS = 100_000
# NumPy's OpenBLAS has threads from its import on, each of which looks for work for a tenth of a
# second, on a core that a start needs: 2^4 cycles do.
_BLAS_SLEEPS = "OPENBLAS_THREAD_TIMEOUT", "4"


def _leave(signum: int, frame: FrameType | None) -> None:
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    raise SystemExit(main())
