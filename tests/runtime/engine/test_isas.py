"""The numerics contract: the instruction set changes no bit of any model's logits.

Nearly all of its time goes to kernels that are compiled for each instruction set, so it has a file,
and with that a process, of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from halfbyte.kernels.compiler import target

PROGRAM = Path(__file__).with_name("digests.py")


def test_every_isa_gives_the_same_bits(kernel_cache: Path) -> None:
    env = {k: v for k, v in os.environ.items() if k != "HALFBYTE_ISA"}
    digests = {}
    for isa in target.supported():
        command = [sys.executable, "-W", "error", str(PROGRAM), isa, str(kernel_cache)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
        assert result.returncode == 0, result.stderr
        digests[isa] = result.stdout
        assert result.stdout.count("\n") == 13
    assert len(set(digests.values())) == 1, digests
