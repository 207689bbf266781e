"""Write the texts that conversions are calibrated and measured with: this project's own Python.

    python benchmarks/make_texts.py

The texts are committed, so that figures of today and of next year are about the same tokens; the
files they were taken from move on. No file is in both.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
        text = "\n\n".join((ROOT / file).read_text("utf-8") for file in files)
        (ROOT / "runtime" / "quality" / "data" / f"{name}.txt").write_text(text, "utf-8")
        print(f"{name}: {len(text)} characters")


if __name__ == "__main__":
    main()
