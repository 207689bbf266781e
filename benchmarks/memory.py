"""Peak memory of loading and generating, beside what cannot be avoided: the file and the cache.

    python benchmarks/memory.py [MODEL ...]

The kernels are compiled before, as in every start but the first. 512 tokens are processed and 64
generated. Lines are appended to benchmarks/results/memory.jsonl.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import results
from protocol import Worker
from suite import model_path

from halfbyte import settings

HERE = Path(__file__).resolve().parent
MODELS = ("smollm2-135m", "1b-q4_0", "7b-q4_0")
N_PROMPT, N_GEN = 512, 64
ALLOWED_NBYTES = 150e6  # beyond the file and the cache


def run(name: str, threads: int, files: Path) -> None:
    """Measure a model, print it and append it."""
    path = model_path(name, files)
    options = (HERE / "ours.py", path, "-t", threads, "--ctx", N_PROMPT + N_GEN)
    Worker(sys.executable, *options).close()  # compiles
    with Worker(sys.executable, *options) as ours:
        loaded = ours.ask("memory")["peak_nbytes"]
        ours.ask("prefill", N_PROMPT)
        ours.ask("decode", N_GEN, N_PROMPT)
        memory = ours.ask("memory")
    bound = path.stat().st_size + memory["kv_nbytes"] + ALLOWED_NBYTES
    peak = memory["peak_nbytes"]
    print(f"{name:14}{loaded / 1e6:8.0f} MB loaded, {peak / 1e6:.0f} MB at most, "
          f"{bound / 1e6:.0f} MB allowed")  # fmt: skip
    facts = memory | {"name": name, "loaded_nbytes": loaded, "bound_nbytes": bound,
                      "is_met": peak <= bound}  # fmt: skip
    results.append("memory", path, threads, facts)


def main() -> None:
    """Measure the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS, help=f"default: {' '.join(MODELS)}")
    parser.add_argument("-t", "--threads", type=int, default=2, metavar="N")
    parser.add_argument("--files", type=Path, default=settings.cache_dir() / "benchmarks")
    args = parser.parse_args()
    for name in args.models:
        run(name, args.threads, args.files)


if __name__ == "__main__":
    main()
