"""A fork beside a thread that imports, compiles or loads: neither waits for ever, nor the child."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

RunPython = Callable[..., str]

BEGIN = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the test
from halfbyte.kernels.compiler import jit

def fork_beside(work, has_begun, child):
    thread = threading.Thread(target=work)
    thread.start()
    while not has_begun():
        time.sleep(1e-4)
    pid = os.fork()
    if pid == 0:
        try:
            child()
        finally:
            os._exit(0)
    until = time.monotonic() + 60
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if time.monotonic() > until:
            os.kill(pid, 9)
        time.sleep(0.01)
    thread.join()
"""

# As it is where machine code is loaded by LLVM: with ARM's processors, and on other systems.
LOAD = """
import llvmlite.binding as llvm
from halfbyte.kernels.compiler import code_files, llvm_linker
begun = threading.Event()

def read(folder, name):
    begun.set()
    time.sleep(0.2)
    llvm.get_default_triple()  # takes LLVM's lock, as linking does
    print("loaded", flush=True)
    raise OSError

code_files.read = read
load = jit.Kernel(lambda: None, "test_load").load
fork_beside(load, begun.is_set, lambda: print("forked", flush=True))
"""

# A child cannot import what another thread had half imported.
IMPORT = """
from halfbyte.kernels.vectors.scalars import put_i64

def answer(out):
    put_i64(out, 42)

def compile():
    text = jit.Kernel(answer, "test_import").assembly()
    print("test_import" in text, flush=True)

def has_begun():
    return "numba" in sys.modules

assert not has_begun()
fork_beside(compile, has_begun, compile)
"""

# LLVM's library alone.
ASK = """
from halfbyte.kernels.compiler import host_cpu

def ask():
    print(bool(host_cpu._asked()[0]), flush=True)

def has_begun():
    return "llvmlite" in sys.modules

assert not has_begun()
fork_beside(ask, has_begun, ask)
"""


def test_a_fork_takes_the_locks_in_the_order_of_who_loads(run_python: RunPython) -> None:
    assert run_python(BEGIN + LOAD) == "loaded\nforked\n"


@pytest.mark.parametrize("script", [IMPORT, ASK], ids=["Numba", "LLVM"])
def test_a_child_never_waits_for_an_import_that_nobody_ends(
    run_python: RunPython, script: str
) -> None:
    assert run_python(BEGIN + script) == "True\nTrue\n"
