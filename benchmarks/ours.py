"""halfbyte as a benchmark worker: the same commands as peer.py, and `bandwidth`.

python ours.py MODEL.gguf [-t THREADS] [--ctx N]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numba
import numpy as np
from protocol import serve, take_stdout

import halfbyte
from halfbyte import system


class Ours:
    """One loaded model."""

    def __init__(self, model: halfbyte.Model) -> None:
        self.model = model

    def prefill(self, n: str) -> dict[str, Any]:
        return {"seconds": self.model.bench_prefill(int(n))}

    def decode(self, n: str, depth: str) -> dict[str, Any]:
        return {"seconds": self.model.bench_decode(int(n), int(depth))}

    def tokenize(self, source: str, out: str) -> dict[str, Any]:
        ids = self.model.tokenizer.encode(Path(source).read_text(encoding="utf-8"))
        np.save(out, np.array(ids, np.int64))
        return {"n": len(ids)}

    def logits(self, source: str, out: str) -> dict[str, Any]:
        np.save(out, self.model.logits(np.load(source).tolist()))
        return {}

    def greedy(self, source: str, n: str, out: str) -> dict[str, Any]:
        ids = np.load(source).tolist()
        completion = self.model.complete(ids, max_tokens=int(n), temperature=0.0)
        np.save(out, np.array(completion.tokens, np.int64))
        return {"finish_reason": completion.finish_reason}

    def bandwidth(self) -> dict[str, Any]:
        return {"bytes_per_s": system.read_bandwidth(self.model.n_threads)}


def main() -> None:
    """Load, announce, answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--ctx", type=int, default=1024)
    args = parser.parse_args()
    answers = take_stdout()
    with halfbyte.load(args.model, threads=args.threads, ctx=args.ctx) as model:
        info = {
            "name": "halfbyte",
            "version": halfbyte.__version__,
            "isa": system.describe_isa(),
            "numba": numba.__version__,
            "numpy": np.__version__,
            "nbytes_per_token": model.nbytes_per_token,
            "load_s": model.load_s,
        }
        ours = Ours(model)
        commands = ("prefill", "decode", "tokenize", "logits", "greedy", "bandwidth")
        serve(info, {name: getattr(ours, name) for name in commands}, answers)


if __name__ == "__main__":
    main()
