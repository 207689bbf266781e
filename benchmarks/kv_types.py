"""How far a model's next tokens move where keys and values are stored as codes.

    python benchmarks/kv_types.py [--model smollm2-135m] [--depths 1024 4096 16384] [--keep]

The Kullback-Leibler divergence from `kv_type="f16"`, in nats, over the last 512 positions before
each depth, of Python's own sources. The model is converted to half-precision weights first: with
quantized ones activations are rounded to 8 bits, and any change, however small, makes some of them
round the other way, which is not the cache's doing (and is as large for "f32" against "f16").
A line of JSON for each type and depth, as soon as it is known; `--keep` appends them to
benchmarks/results/kv_types.jsonl.
"""

from __future__ import annotations

import argparse
import ast
import heapq
import json
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import results
from numpy.typing import NDArray

import halfbyte
from halfbyte import system
from halfbyte.engine.engine import MAX_BATCH, Span
from halfbyte.models import catalogue

N_POSITIONS = 512  # before a depth, over which divergences are averaged
TYPES = ("int8", "int4")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--depths", type=int, nargs="+", default=[1024, 4096, 16384])
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    source = catalogue.resolve(args.model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f16.gguf"
        halfbyte.convert(source, path, type="f16", measure=False)
        for line in divergences(path, sorted(args.depths)):
            print(json.dumps(line), flush=True)
            if args.keep:
                results.append("kv_types", Path(source), system.default_threads().count, line)


def divergences(path: Path, depths: list[int]) -> Iterator[dict[str, Any]]:
    """A line for each type and depth."""
    models = {
        kv_type: halfbyte.load(path, kv_type=kv_type, ctx=depths[-1], prompt_cache_bytes=0)
        for kv_type in ("f16", *TYPES)
    }
    ids = source_ids(models["f16"], depths[-1])
    sequences = {kv_type: model.engine.new_sequence() for kv_type, model in models.items()}
    found: dict[str, list[NDArray[np.float64]]] = {kv_type: [] for kv_type in TYPES}
    for begin in range(0, depths[-1], MAX_BATCH):
        end, is_wanted = begin + MAX_BATCH, any(d - N_POSITIONS <= begin < d for d in depths)
        rows = {}
        for kv_type, model in models.items():
            span = Span(sequences[kv_type], ids[begin:end], MAX_BATCH if is_wanted else 1)
            rows[kv_type] = model.engine.forward([span]).astype(np.float64)
        for kv_type in TYPES if is_wanted else ():
            found[kv_type].append(kl_of_rows(rows["f16"], rows[kv_type]))
            if end in depths:
                kl = np.concatenate(found[kv_type])
                found[kv_type].clear()
                yield {
                    "kv_type": kv_type, "depth": end, "kl_mean": float(kl.mean()),
                    "kl_p99": float(np.quantile(kl, 0.99)),
                    "nbytes_per_token": models[kv_type].kv_nbytes(MAX_BATCH) / MAX_BATCH,
                }  # fmt: skip


def source_ids(model: halfbyte.Model, n: int) -> list[int]:
    """The first n tokens of some of Python's own modules."""
    modules = argparse, ast, heapq, textwrap
    text = "".join(Path(str(module.__file__)).read_text("utf-8") for module in modules)
    return list(model.tokenizer.encode(text))[:n]


def kl_of_rows(expected: NDArray[np.float64], got: NDArray[np.float64]) -> NDArray[np.float64]:
    """The divergence of each row of logits."""
    a, b = (_log_softmax(x) for x in (expected, got))
    return (np.exp(a) * (a - b)).sum(-1)


def _log_softmax(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


if __name__ == "__main__":
    main()
