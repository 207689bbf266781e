"""halfbyte as a benchmark worker: the same commands as peer.py, and what only it can tell.

python ours.py MODEL.gguf [-t THREADS] [--ctx N]

bandwidth          bytes per second that its threads read
peak               int8 multiply-adds per second that its threads do
memory             peak resident memory in bytes, and bytes of KV cache for --ctx tokens
grow N DEPTH...    seconds in all to reach each depth, and those for N tokens decoded there
"""

from __future__ import annotations

import argparse
import resource
from pathlib import Path
from typing import Any

import numba
import numpy as np
from protocol import serve, take_stdout

import halfbyte
from halfbyte import system
from halfbyte.cli.speed import decode_s, prefill_s, random_tokens
from halfbyte.kernels.limits.int8_peak import int8_peak


class Ours:
    """One loaded model. What is timed are the engine's steps, as `peer.py` times llama.cpp's."""

    def __init__(self, model: halfbyte.Model) -> None:
        self.model = model
        self._engine = model.engine
        self._filled = self._engine.new_sequence()

    def info(self) -> dict[str, Any]:
        """What ratios and limits are worked out from."""
        matrices = self._engine.weights.matrices
        inner = (m for name, m in matrices.items() if name.startswith("blk."))
        return {
            "name": "halfbyte",
            "version": halfbyte.__version__,
            "isa": system.describe_isa(),
            "numba": numba.__version__,
            "numpy": np.__version__,
            "nbytes_per_token": self.model.nbytes_per_token,
            "kv_nbytes_per_token": self.model.kv_nbytes(self.model.n_ctx) / self.model.n_ctx,
            "macs_per_token": sum(m.n_rows * m.n_inputs for m in inner),
            "load_s": self.model.load_s,
        }

    def prefill(self, n: str) -> dict[str, Any]:
        tokens = random_tokens(self._engine, int(n))
        self._filled = self._engine.new_sequence()
        return {"seconds": prefill_s(self._engine, tokens, self._filled)}

    def decode(self, n: str, depth: str) -> dict[str, Any]:
        if self._filled.n_past != int(depth):
            self._filled = self._engine.new_sequence()
            self._fill(int(depth))
        return {"seconds": decode_s(self._engine, int(n), [self._filled.fork(int(depth))])}

    def batch(self, sequences: str, n: str) -> dict[str, Any]:
        made = [self._engine.new_sequence() for _ in range(int(sequences))]
        return {"seconds": decode_s(self._engine, int(n), made)}

    def grow(self, n: str, *depths: str) -> dict[str, Any]:
        self._filled = self._engine.new_sequence()
        to_reach: list[float] = []
        there: list[float] = []
        for depth in map(int, depths):
            to_reach.append(sum(to_reach[-1:]) + self._fill(depth))
            there.append(decode_s(self._engine, int(n), [self._filled.fork(depth)]))
        return {"prefill_s": to_reach, "decode_s": there}

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

    def peak(self) -> dict[str, Any]:
        return {"macs_per_s": int8_peak(self._engine.pool)}

    def memory(self) -> dict[str, Any]:
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"peak_nbytes": peak, "kv_nbytes": self.model.kv_nbytes(self.model.n_ctx)}

    def _fill(self, depth: int) -> float:
        tokens = [1] * (depth - self._filled.n_past)
        return prefill_s(self._engine, tokens, self._filled, n_out=0)


def main() -> None:
    """Load, announce, answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--ctx", type=int, default=1024)
    parser.add_argument("--sequences", type=int, default=1, help="needs no preparation here")
    args = parser.parse_args()
    answers = take_stdout()
    with halfbyte.load(args.model, threads=args.threads, ctx=args.ctx) as model:
        ours = Ours(model)
        commands = (
            "prefill", "decode", "batch", "grow", "tokenize", "logits", "greedy", "bandwidth",
            "peak", "memory",
        )  # fmt: skip
        serve(ours.info(), {name: getattr(ours, name) for name in commands}, answers)


if __name__ == "__main__":
    main()
