"""Write the texts that conversions are calibrated and measured with: this project's own Python.

    python benchmarks/make_texts.py

The texts are committed, so that figures of today and of next year are about the same tokens. The
files that they were taken from have changed and moved since, so they are read as they stood at
COMMIT: run again, this gives the same bytes. No file is in both texts.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COMMIT = "22fe5c8"
FILES = {
    "calibration": (
        "runtime/prompt/infill.py", "tests/runtime/test_sampling.py", "benchmarks/peer.py",
        "runtime/gguf_metadata.py", "runtime/cli/bench.py", "kernels/attention.py",
        "tests/convert/test_vocab.py", "runtime/hub.py", "convert/safetensors_file.py",
    ),
    "heldout": (
        "runtime/generate.py", "tests/convert/test_hf.py", "runtime/cli/tokenize.py",
        "benchmarks/report.py",
    ),
}  # fmt: skip


def main() -> None:
    """Write both."""
    for name, files in FILES.items():
        text = b"\n\n".join(map(_read, files))
        (ROOT / "runtime" / "quality" / "data" / f"{name}.txt").write_bytes(text)
        print(f"{name}: {len(text)} bytes")


def _read(file: str) -> bytes:
    """A file's bytes at COMMIT.

    Raises:
        subprocess.CalledProcessError: git has no such commit (a shallow clone); it has said so.
    """
    command = ["git", "-C", str(ROOT), "show", f"{COMMIT}:{file}"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    main()
