"""What transformers says far into a long text: tests/data/golden_long.npz, or another file.

    .venvs/torch/bin/python benchmarks/make_long_golden.py [--n-ids 16500] [--out FILE]

The checkpoint and the ids are made from seeds; stored are `spec` (the Tiny, as JSON), `n_ids`,
`positions` and `logits` (float32, after the ids at those positions).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from long_text import ids_of
from make_golden import OUT, model_of
from tiny_llama import Tiny

TINY = Tiny("long", 3, 64, 96, 2, 4, 2, 16, 323, 1e7, tied=False, n_ctx=1 << 17)
DEPTHS = (100, 4095, 8191, 8192, 12_345, 16_383, 16_384, 24_576, 32_767, 32_768)


def main() -> None:
    """Ask, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n-ids", type=int, default=16_500)
    parser.add_argument("--out", type=Path, default=OUT / "golden_long.npz")
    args = parser.parse_args()
    positions = np.array([*(n for n in DEPTHS if n < args.n_ids - 1), args.n_ids - 1])
    model = model_of(TINY, attention="sdpa")  # whole matrices of scores would fill the memory
    with torch.inference_mode():
        states = model.model(
            torch.tensor(ids_of(TINY.seed, TINY.vocab_size, args.n_ids)[None])
        ).last_hidden_state
        logits = model.lm_head(states[0, positions]).numpy()
    np.savez_compressed(
        args.out, spec=json.dumps(asdict(TINY)), n_ids=args.n_ids,
        positions=positions, logits=logits,
    )  # fmt: skip


if __name__ == "__main__":
    main()
