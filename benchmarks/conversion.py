"""What conversion loses, type by type: halfbyte's quantizers beside llama.cpp's.

    python benchmarks/conversion.py SOURCE [--types q4_0 q4_k_m ...] [--calibrated q4_0 ...]

SOURCE is a Hugging Face folder or a .gguf file with float weights, or one of the reference models:

    infill-10m      a trained model's true float weights, from the shared data
    heavy-tails     random layers, see heavy_tails.py
    smollm2-135m    the catalogue's file, dequantized: its weights lie on a Q4_1 grid of their own,
                    and its rows of 576 take fallbacks, so that it says little about quantizers

Each type is made by halfbyte and by llama.cpp (in `.venvs/peer`), each also with what a text tells:
halfbyte calibrates, llama.cpp gets the importance matrix of the same text. All are measured by the
same code on the same held-out Python, in two kinds of figures that are never mixed:

    weights   the file's weights in float arithmetic: what conversion lost
    as run    the logits of the engine that the file is for, quantized activations included

Appended to benchmarks/results/conversion.jsonl.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import environments
import heavy_tails
import numpy as np
import results
from numpy.typing import NDArray
from protocol import Worker

import halfbyte
from halfbyte.converting.calibration.importance import collect_importance
from halfbyte.converting.plan import CALIBRATED_WINDOWS
from halfbyte.converting.recipe import RECIPES
from halfbyte.converting.sources.source import open_source
from halfbyte.quality.distance import distance
from halfbyte.quality.float_model import FloatModel, hidden_states
from halfbyte.quality.texts import N_WINDOW, packaged_text, token_windows

HERE = Path(__file__).resolve().parent
TYPES = tuple(name for name, recipe in RECIPES.items() if recipe.usual.is_quantized)
UNCALIBRATED = ("q8_0", "q6_k")  # which calibration leaves as they are
DECODED = 64

F32 = NDArray[np.float32]
Ids = NDArray[np.int64]


def source_of(name: str, folder: Path) -> Path:
    """A reference model by name, made in a folder; anything else is a path."""
    if name == "infill-10m":
        shared = Path(os.environ.get("HALFBYTE_SHARED", HERE.parent.parent / "shared"))
        return shared / "data" / "models" / name
    if name == "heavy-tails":
        heavy_tails.save(folder / name)
        return folder / name
    if name == "smollm2-135m":
        halfbyte.convert(name, folder / f"{name}.gguf", type="f16", measure=False)
        return folder / f"{name}.gguf"
    return Path(name)


class Reference:
    """The source's logits on windows of held-out text."""

    def __init__(self, path: Path, n_windows: int | None) -> None:
        with halfbyte.load(path, threads=1) as model:
            length = min(N_WINDOW, model.config.n_ctx_train)
            text = packaged_text("heldout")
            self.ids = token_windows(model.tokenizer, text, length, max_windows=n_windows)
        self.logits = list(float_logits(path, self.ids))

    def figures(self, logits: Iterator[F32]) -> dict[str, float]:
        """How far other logits are from the source's."""
        d = distance(self.ids, iter(self.logits), logits)
        reference, other = d.perplexities
        return {"kl_mean": d.mean_kl, "kl_p99": d.p99_kl, "top1": d.top1, "perplexity": other,
                "perplexity_source": reference}  # fmt: skip


def float_logits(path: Path, ids: Ids) -> Iterator[F32]:
    """A file's logits in float arithmetic, window by window."""
    source = open_source(path)
    try:
        model = FloatModel(source.layers())
        yield from model.logits(hidden_states(model, ids))
    finally:
        source.close()


def importance(path: Path) -> dict[str, F32]:
    """Mean squares of each matrix's inputs on the text that halfbyte calibrates on."""
    with halfbyte.load(path, threads=1) as model:
        length = min(N_WINDOW, model.config.n_ctx_train)
        ids = token_windows(model.tokenizer, packaged_text("calibration"), length,
                            max_windows=CALIBRATED_WINDOWS)  # fmt: skip
    source = open_source(path)
    try:
        return collect_importance(FloatModel(source.layers()), ids).means
    finally:
        source.close()


def engine_logits(model: halfbyte.Model, ids: Ids) -> Iterator[F32]:
    """The same from halfbyte's engine."""
    return (model.logits(window.tolist()) for window in ids)


def peer_logits(path: Path, ids: Ids, folder: Path) -> Iterator[F32]:
    """The same from llama.cpp."""
    given, got = folder / "ids.npy", folder / "logits.npy"
    options = (path, "-t", 2, "--ctx", ids.shape[1])
    with Worker(environments.make("peer"), HERE / "peer.py", *options) as worker:
        for window in ids:
            np.save(given, window)
            worker.ask("logits", given, got)
            yield np.load(got)


def decode_rate(model: halfbyte.Model) -> float:
    """Tokens per second, decoding from an empty cache; median of 5."""
    rates = []
    for _ in range(6):
        done = model.complete([1], max_tokens=DECODED, stop_tokens=[], speculate=False)
        rates.append(done.stats.decode_tps)
    return float(np.median(rates[1:]))


def bits_per_weight(path: Path) -> float:
    """Of all tensors."""
    source = open_source(path)
    try:
        counts = [int(np.prod(tensor.shape)) for tensor in source.tensors]
        nbytes = sum(tensor.stored(0, tensor.shape[0]).nbytes for tensor in source.tensors)
        return 8 * nbytes / sum(counts)
    finally:
        source.close()


def quantized_by_peer(exact: Path, out: Path, kind: str, imatrix: Path | None) -> None:
    """llama.cpp's file of a type."""
    command = [environments.make("peer"), HERE / "peer_quantize.py", exact, out,
               str(RECIPES[kind].file_type)]  # fmt: skip
    extra = [] if imatrix is None else ["--imatrix", imatrix]
    subprocess.run([*command, *extra], check=True, capture_output=True)


def rows_of(
    kind: str, exact: Path, imatrix: Path | None, reference: Reference, folder: Path
) -> Iterator[dict[str, Any]]:
    """One type, by each maker."""
    ids, out = reference.ids, folder / "out.gguf"
    for maker, extra in (("halfbyte", {}), ("halfbyte, calibrated", {"calibrate": True})):
        if extra and imatrix is None:
            continue
        begin = time.perf_counter()
        report = halfbyte.convert(exact, out, type=kind, measure=False, force=True, **extra)
        seconds = time.perf_counter() - begin
        with halfbyte.load(out, threads=2) as model:
            yield {
                "type": kind, "maker": maker, "bits": report.bits_per_weight, "seconds": seconds,
                "weights": reference.figures(float_logits(out, ids)),
                "as_run": reference.figures(engine_logits(model, ids)),
                "decode_tps": decode_rate(model),
            }  # fmt: skip
    for maker, matrix in (("llama.cpp", None), ("llama.cpp, imatrix", imatrix)):
        if maker != "llama.cpp" and imatrix is None:
            continue
        quantized_by_peer(exact, out, kind, matrix)
        yield {
            "type": kind, "maker": maker, "bits": bits_per_weight(out),
            "weights": reference.figures(float_logits(out, ids)),
            "as_run": reference.figures(peer_logits(out, ids, folder)),
        }  # fmt: skip


def show(row: dict[str, Any], peer: float | None) -> None:
    """Print a row."""
    w, run = row["weights"], row["as_run"]
    ratio = f"{w['kl_mean'] / peer:6.3f}" if peer else " " * 6
    rate = f"{row['decode_tps']:7.0f}" if "decode_tps" in row else " " * 7
    print(f"{row['type']:7} {row['maker']:21} {row['bits']:5.2f} {w['kl_mean']:9.6f} {ratio} "
          f"{w['kl_p99']:8.5f} {w['top1']:7.2%} {w['perplexity']:9.4f} {run['kl_mean']:9.6f} "
          f"{rate}", flush=True)  # fmt: skip


def main() -> None:
    """Measure, print and append."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--types", nargs="+", default=TYPES, metavar="TYPE")
    parser.add_argument("--calibrated", nargs="*", default=None, metavar="TYPE",
                        help="types made with a text too (default: all)")  # fmt: skip
    parser.add_argument("--windows", type=int, help="of 512 tokens (default: all of the text)")
    args = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        exact, imatrix = folder / "exact.gguf", None
        source = source_of(args.source, folder)
        halfbyte.convert(source, exact, type="f32", measure=False)
        calibrated = set(args.types if args.calibrated is None else args.calibrated)
        calibrated -= set(UNCALIBRATED)
        if calibrated:
            imatrix = folder / "imatrix.npz"
            np.savez(imatrix, **importance(exact))
        reference = Reference(exact, args.windows)
        print(
            "type    maker                  bits    KL of weights   p99     top-1  perplexity "
            "KL as run   tok/s\n                                             (to llama.cpp)"
        )
        for kind in args.types:
            found = list(
                rows_of(kind, exact, imatrix if kind in calibrated else None, reference, folder)
            )
            peer = next(r["weights"]["kl_mean"] for r in found if r["maker"] == "llama.cpp")
            for row in found:
                show(row, peer)
            rows += found
        shape = {"windows": len(reference.ids), "window": int(reference.ids.shape[1])}
        results.append(
            "conversion", exact, 2, shape | {"source": Path(args.source).name, "rows": rows}
        )


if __name__ == "__main__":
    sys.exit(main())
