"""The command as a process: Ctrl-C while it imports and while it works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

# Ctrl-C where a module is imported that the command needs.
DURING_IMPORT = """
import os, signal, sys
from importlib.abc import MetaPathFinder
wanted = sys.argv.pop(1)
class Finder(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from halfbyte.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "module",
    ["halfbyte.errors", "halfbyte.cli", "halfbyte.cli.complete", "numpy", "halfbyte.model"],
)
def test_ctrl_c_during_imports_is_130_without_a_traceback(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DURING_IMPORT, module, "complete", "-m", "infill-10m", "-p", "x"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == 130, done.stderr


def test_ctrl_c_before_anything_is_ignored_where_the_process_was_told_to() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "halfbyte", "--version"], capture_output=True, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN), env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.startswith("halfbyte ")


def test_another_ctrl_c_while_the_first_is_told() -> None:
    code = (
        "import sys, halfbyte.cli\n"
        "def run(begin): begin(); raise KeyboardInterrupt\n"
        "halfbyte.cli.main = run\n"
        "from halfbyte.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "")


def test_what_a_start_makes_is_not_looked_through_for_garbage() -> None:
    code = (
        "import gc, halfbyte.cli\n"
        "halfbyte.cli.main = lambda begin: print(gc.isenabled(), gc.get_threshold()[0])\n"
        "from halfbyte.__main__ import main; main()"
    )
    out = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert out == "True 100000\n"
