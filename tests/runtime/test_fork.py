"""A process that is forked while another thread computes, loads or compiles: its child never waits.

What the parent loaded is an error there at once, and a model of its own works.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

# Forks while a thread is in the middle of something, again and again; each child does everything.
SCRIPT = """
import logging, os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the test
path, busy = sys.argv[1:]
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
import halfbyte
if busy != "import":
    model = halfbyte.load(path, threads=2)
    stream = model.stream("a", max_tokens=9, heal=False)
    next(stream)
    expected = model.logits([1, 2, 3]).tobytes()
stop = threading.Event()

def compute():
    while not stop.is_set():
        model.logits([3] * 500)

def load():
    while not stop.is_set():
        halfbyte.load(path, threads=2).close()

def compile():
    from halfbyte.kernels.compiler.jit import Kernel
    from halfbyte.kernels.vectors.scalars import put_i64
    for i in range(10 ** 6):
        def answer(out):
            put_i64(out, i)
        Kernel(answer, f"test_fork_{os.getpid()}_{i}").assembly()
        if stop.is_set():
            return

def first_load():
    halfbyte.load(path, threads=2).close()

def refused(call):
    try:
        call()
    except halfbyte.EngineError as error:
        return "forked" in str(error)

def child():
    if busy != "import":
        assert refused(lambda: model.complete("a"))
        assert refused(lambda: model.logits([1]))
        assert refused(lambda: next(stream))
        with model:
            pass
        model.close()
    with halfbyte.load(path, threads=2) as own:
        logits = own.logits([1, 2, 3]).tobytes()
        assert busy == "import" or logits == expected
    return 0

target = {"compute": compute, "load": load, "compile": compile, "import": first_load}[busy]
thread = threading.Thread(target=target)
thread.start()
for i in range(int(os.environ.get("N_FORKS", "3"))):
    time.sleep(0.02 + 0.013 * i)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = child()
        except BaseException:
            import traceback; traceback.print_exc()
        finally:
            os._exit(status)
    until = time.monotonic() + 60
    while not (done := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() > until:
            import signal
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            print("hang", i); break
        time.sleep(0.01)
    else:
        print("exit", done[1])
stop.set()
thread.join()
"""


@pytest.mark.parametrize("busy", ["compute", "load", "compile", "import"])
def test_a_child_of_a_busy_process_never_waits(tiny_gguf: Path, busy: str) -> None:
    result = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", SCRIPT, str(tiny_gguf), busy],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout == "exit 0\n" * 3, result.stderr


# One thread compiles where another is about to fork, which waits for it.
ORDER = """
import os, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from halfbyte.kernels.compiler import jit, numba_compiler
compiles = threading.Event()

def object_code(*args):
    compiles.set()
    time.sleep(0.2)
    with numba_compiler.global_compiler_lock:
        raise KeyError("nothing is made")

def compile():
    try:
        jit.Kernel(lambda: None, "test_order").compile()
    except KeyError:
        print("compiled", flush=True)

numba_compiler.object_code = object_code
thread = threading.Thread(target=compile)
thread.start()
compiles.wait()
pid = os.fork()
if pid == 0:
    os._exit(0)
os.waitpid(pid, 0)
thread.join()
print("forked")
"""


def test_a_fork_takes_the_locks_in_the_order_of_who_compiles() -> None:
    result = subprocess.run(
        [sys.executable, "-c", ORDER], capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout) == (0, "compiled\nforked\n"), result.stderr
