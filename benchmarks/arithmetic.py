"""How far a model's next tokens move by the arithmetic of its products.

    python benchmarks/arithmetic.py [--model smollm2-135m] [--types q4_0 q8_0] [--keep]

The Kullback-Leibler divergence in nats from products of floats, on the same weights: a copy of the
file whose weights are what its codes stand for, in F32, is the reference. Windows of 512 tokens of
Python's own sources, each from its beginning. `int8` and `bf16` are the engine's. `int8-rows` is
what other programs do for tiles of integers, simulated in NumPy: weights expanded and rounded to 8
bits with one scale a row of the matrix, activations with one scale a token, nothing scaled between
products; `bf16-numpy`, simulated likewise, says how far a simulation can be trusted. A line of JSON
each; `--keep` appends them to benchmarks/results/arithmetic.jsonl.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import results
from kv_types import kl_of_rows, source_ids
from numpy.typing import NDArray

import halfbyte
from halfbyte import system
from halfbyte.engine.engine import MAX_BATCH, Span
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.models import catalogue
from halfbyte.quality.float_model import FloatModel
from halfbyte.quality.layer_source import GGUFSource

F32 = NDArray[np.float32]
N_WINDOWS, LENGTH = 2, 512


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--types", nargs="+", default=["q4_0", "q8_0"])
    parser.add_argument("--keep", action="store_true")
    args = parser.parse_args()
    source = catalogue.resolve(args.model)
    with tempfile.TemporaryDirectory() as folder:
        for name in args.types:
            path, exact = (Path(folder) / f"{name}{end}.gguf" for end in ("", "-f32"))
            halfbyte.convert(source, path, type=name, measure=False)
            halfbyte.convert(path, exact, type="f32", measure=False)
            for line in _divergences(path, exact):
                line = {"type": name, **line}
                print(json.dumps(line), flush=True)
                if args.keep:
                    results.append("arithmetic", Path(source), system.default_threads().count, line)


def _divergences(path: Path, exact: Path) -> Iterator[dict[str, Any]]:
    with halfbyte.load(exact, kv_type="f32", prompt_cache_bytes=0) as model:
        ids = np.array(source_ids(model, N_WINDOWS * LENGTH)).reshape(N_WINDOWS, LENGTH)
        expected = [_logits(model, window) for window in ids]
    for arithmetic in ("int8", "bf16"):
        with halfbyte.load(
            path, kv_type="f32", arithmetic=arithmetic, prompt_cache_bytes=0
        ) as model:
            yield _line(arithmetic, expected, [_logits(model, window) for window in ids])
    for name, both in (("int8-rows", _as_int8_rows), ("bf16-numpy", _as_bf16)):
        yield _line(name, expected, _simulated(exact, ids, both))


def _logits(model: halfbyte.Model, ids: NDArray[np.int64]) -> F32:
    engine = model.engine
    sequence, out = engine.new_sequence(), []
    for i in range(0, len(ids), MAX_BATCH):
        out.append(engine.forward([Span(sequence, ids[i : i + MAX_BATCH].tolist(), MAX_BATCH)]))
    return np.concatenate(out)


def _simulated(path: Path, ids: NDArray[np.int64], both: Callable[[F32], F32]) -> list[F32]:
    """Logits where `both` is done to weights and to what they meet."""
    with GGUFFile.open(path) as file:
        model = FloatModel(GGUFSource(file, config_from_gguf(file)))

        def hook(names: tuple[str, ...], values: F32) -> None:
            values[:] = both(values)

        x = model.embed(ids)
        for i in range(model.config.n_layers):
            w = {name: both(values) if values.ndim == 2 else values
                 for name, values in model.layer_weights(i).items()}  # fmt: skip
            model.layer(i, w, x, hook)
        # The logits' matrix is rounded by the model's own reader.
        read = model.source.tensor
        model.source.tensor = lambda name: (  # type: ignore[method-assign]
            both(read(name)) if name in ("output.weight", "token_embd.weight") else read(name)
        )
        return list(model.logits(x, hook))


def _as_int8_rows(x: F32) -> F32:
    scale = np.maximum(np.abs(x).max(-1, keepdims=True), np.float32(1e-30)) / np.float32(127)
    return np.rint(x / scale) * scale


def _as_bf16(x: F32) -> F32:
    bits = np.ascontiguousarray(x).view(np.uint32)
    up = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return (up & np.uint32(0xFFFF0000)).view(np.float32)


def _line(name: str, expected: list[F32], got: list[F32]) -> dict[str, Any]:
    pairs = zip(expected, got, strict=True)
    kl = np.concatenate([kl_of_rows(a.astype(float), b.astype(float)) for a, b in pairs])
    return {
        "arithmetic": name, "n_positions": len(kl), "kl_mean": float(kl.mean()),
        "kl_p99": float(np.quantile(kl, 0.99)), "kl_max": float(kl.max()),
    }  # fmt: skip


if __name__ == "__main__":
    main()
