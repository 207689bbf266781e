"""How far a model's next-token distributions are from those of exact arithmetic.

    python benchmarks/quality.py MODEL.gguf [-n 512] [-t 2] [--text FILE] [--no-peer]

The same tokens (by default the start of the standard library's json/decoder.py) go through
halfbyte, through llama.cpp (in `.venvs/peer`), and through float64 arithmetic on the file's
dequantized weights (reference_model). Printed for both engines, and appended to
benchmarks/results/quality.jsonl:

    KL          mean and 99th percentile of KL(reference || engine), nats
    top-1       share of positions with the reference's most likely token
    margin      99th percentile of the error of the reference's top-2 margin (difference of
                the two logits); argmax must be equal wherever the margin is larger than that
"""

from __future__ import annotations

import argparse
import json.decoder
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import environments
import numpy as np
import results
from numpy.typing import NDArray
from protocol import Worker
from reference_model import F64, ReferenceModel

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Quality:
    """An engine's distance from the reference over some positions; see the module's docstring."""

    mean_kl: float
    p99_kl: float
    top1: float
    margin_error_p99: float
    n_margin_checked: int
    n_margin_wrong: int


def log_softmax(logits: F64) -> F64:
    """Natural logarithms of probabilities along the last axis."""
    shifted: F64 = logits - logits.max(-1, keepdims=True)
    out: F64 = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return out


def compare(reference: F64, logits: NDArray[np.float32]) -> Quality:
    """Compare logits (n, vocab) of the same tokens."""
    ours = logits.astype(np.float64)
    expected, got = log_softmax(reference), log_softmax(ours)
    kl = (np.exp(expected) * (expected - got)).sum(-1)
    top = np.argsort(reference, -1)[:, -2:]
    margin = np.diff(np.take_along_axis(reference, top, -1), axis=-1)[:, 0]
    error = np.abs(np.diff(np.take_along_axis(ours, top, -1), axis=-1)[:, 0] - margin)
    bound = np.quantile(error, 0.99)
    same = ours.argmax(-1) == top[:, 1]
    clear = margin > bound
    return Quality(
        mean_kl=float(kl.mean()),
        p99_kl=float(np.quantile(kl, 0.99)),
        top1=float(same.mean()),
        margin_error_p99=float(bound),
        n_margin_checked=int(clear.sum()),
        n_margin_wrong=int((clear & ~same).sum()),
    )


def tokenize(worker: Worker, args: argparse.Namespace, ids: Path) -> None:
    """Write the first n tokens of the text to a file."""
    worker.ask("tokenize", args.text, ids)
    tokens = np.load(ids)
    if len(tokens) < args.n:
        sys.exit(f"{args.text} has {len(tokens)} tokens, -n {args.n} asks for more")
    np.save(ids, tokens[: args.n])


def measure(args: argparse.Namespace, folder: Path) -> tuple[dict[str, Quality], dict[str, Any]]:
    """The quality of each engine, and what each said of itself. They run one after the other."""
    ids, out = folder / "ids.npy", folder / "logits.npy"
    options = (args.model, "-t", args.threads, "--ctx", args.n)
    engines: dict[str, tuple[Path | str, str]] = {"halfbyte": (sys.executable, "ours.py")}
    if not args.no_peer:
        engines["llama.cpp"] = (environments.make("peer"), "peer.py")
    reference, found, infos = None, {}, {}
    for name, (python, script) in engines.items():
        with Worker(python, HERE / script, *options) as worker:
            if reference is None:
                tokenize(worker, args, ids)
            worker.ask("logits", ids, out)
            infos[name] = worker.info
        if reference is None:
            reference = ReferenceModel(args.model).logits(np.load(ids))
        found[name] = compare(reference, np.load(out))
    return found, infos


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("-n", type=int, default=512, help="positions (default: %(default)s)")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--text", type=Path, default=Path(json.decoder.__file__))
    parser.add_argument("--no-peer", action="store_true", help="halfbyte alone")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found, infos = measure(args, Path(folder))
    print(f"{'':10} {'mean KL':>9} {'p99 KL':>9} {'top-1':>7} {'margin p99':>11} {'wrong':>10}")
    for name, q in found.items():
        wrong = f"{q.n_margin_wrong}/{q.n_margin_checked}"
        print(
            f"{name:10} {q.mean_kl:9.5f} {q.p99_kl:9.5f} {q.top1:7.2%} "
            f"{q.margin_error_p99:11.4f} {wrong:>10}"
        )
    if not args.no_peer:
        ratio = found["halfbyte"].mean_kl / found["llama.cpp"].mean_kl
        print(f"mean KL, halfbyte / llama.cpp: {ratio:.3f} (wanted: at most 1.1)")
    engines = {name: asdict(q) | infos[name] for name, q in found.items()}
    facts = {"text": args.text.name, "n": args.n, "engines": engines}
    results.append("quality", args.model, args.threads, facts)


if __name__ == "__main__":
    main()
