"""How far a model's next tokens move where keys and values are stored as codes.

    python benchmarks/kv_types.py [--model smollm2-135m] [--depths 1024 4096 16384] [--keep]

The Kullback-Leibler divergence from `kv_type="f16"`, in nats, over the last 512 positions before
each depth, of Python's own sources. The model is converted to half-precision weights first: with
quantized ones activations are rounded to 8 bits, and any change, however small, makes some of them
round the other way, which is not the cache's doing (and is as large for "f32" against "f16").
A line of JSON for each type; `--keep` appends them to benchmarks/results/kv_types.jsonl.
"""

from __future__ import annotations

import argparse
import ast
import heapq
import json
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import halfbyte
from halfbyte.engine.engine import MAX_BATCH, Span
from halfbyte.models import catalogue

N_POSITIONS = 512  # before a depth, over which divergences are averaged
TYPES = ("f32", "int8", "int4")
RESULTS = Path(__file__).with_name("results") / "kv_types.jsonl"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--depths", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f16.gguf"
        halfbyte.convert(catalogue.resolve(args.model), path, type="f16", measure=False)
        lines = [
            json.dumps({"model": args.model, **line}) for line in divergences(path, args.depths)
        ]
    print("\n".join(lines))
    if args.keep:
        with RESULTS.open("a") as file:
            file.write("\n".join(lines) + "\n")


def divergences(path: Path, depths: list[int]) -> list[dict[str, object]]:
    """A line for each type and depth."""
    models = {
        kv_type: halfbyte.load(path, kv_type=kv_type, ctx=max(depths), prompt_cache_bytes=0)
        for kv_type in ("f16", *TYPES)
    }
    ids = source_ids(models["f16"], max(depths))
    sequences = {kv_type: model.engine.new_sequence() for kv_type, model in models.items()}
    found: dict[tuple[str, int], list[NDArray[np.float64]]] = {}
    for begin in range(0, max(depths), MAX_BATCH):
        end = begin + MAX_BATCH
        depth = next((d for d in sorted(depths) if d - N_POSITIONS <= begin < d), 0)
        rows = {}
        for kv_type, model in models.items():
            span = Span(sequences[kv_type], ids[begin:end], MAX_BATCH if depth else 1)
            rows[kv_type] = model.engine.forward([span]).astype(np.float64)
        for kv_type in TYPES if depth else ():
            found.setdefault((kv_type, depth), []).append(_kl(rows["f16"], rows[kv_type]))
        print(end, file=sys.stderr, flush=True)
    return [
        {
            "kv_type": kv_type, "depth": depth, "kl_mean": float(np.mean(values)),
            "kl_p99": float(np.quantile(values, 0.99)),
            "nbytes_per_token": models[kv_type].kv_nbytes(MAX_BATCH) / MAX_BATCH,
        }
        for (kv_type, depth), values in found.items()
    ]  # fmt: skip


def source_ids(model: halfbyte.Model, n: int) -> list[int]:
    """The first n tokens of some of Python's own modules."""
    modules = argparse, ast, heapq, textwrap
    text = "".join(Path(str(module.__file__)).read_text("utf-8") for module in modules)
    return list(model.tokenizer.encode(text))[:n]


def _kl(expected: NDArray[np.float64], got: NDArray[np.float64]) -> NDArray[np.float64]:
    """By row, of logits."""
    a, b = (_log_softmax(x) for x in (expected, got))
    return (np.exp(a) * (a - b)).sum(-1)


def _log_softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


if __name__ == "__main__":
    main()
