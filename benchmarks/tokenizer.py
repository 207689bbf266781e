"""How fast text becomes tokens, beside the libraries that halfbyte's tokenizers stand on.

    python benchmarks/tokenizer.py [TOKENIZER.model] [--files 200] [--rounds 9]

The standard library's own source files are encoded one by one, in turns: by halfbyte and by
sentencepiece with Code Llama's vocabulary (by default the one in the folder that HALFBYTE_SHARED
names), and by halfbyte and the `tokenizers` package with a byte-level vocabulary that is trained
here on half of the files. Printed for each, and appended to benchmarks/results/tokenizer.jsonl:

    MB/s        of UTF-8, the median of the rounds, and the ratio of the two medians
    equal       files for which both gave the same ids
    long        seconds for texts of 256k and of 1M characters: one letter, and random words
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import results
import sentencepiece
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from halfbyte.tokenizer import Tokenizer

SHARED = Path(os.environ.get("HALFBYTE_SHARED", Path(__file__).resolve().parents[2] / "shared"))
MODEL = SHARED / "data/codellama-tokenizer.model"
N_VOCAB = 16_000
LENGTHS = (1 << 18, 1 << 20)

Encode = Callable[[str], list[int]]


def source_files(limit: int) -> list[str]:
    """Files of the standard library, spread evenly over its names."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    texts = [path.read_text("utf-8", errors="replace") for path in paths]
    return [text for text in texts[:: max(1, len(texts) // limit)] if text][:limit]


def byte_level(texts: list[str], folder: Path) -> tuple[Encode, Encode]:
    """Both encoders of a byte-level vocabulary learnt from some texts."""
    theirs = tokenizers.Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=N_VOCAB, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    theirs.train_from_iterator(texts, trainer)
    theirs.save(str(folder / "tokenizer.json"))
    ours = Tokenizer.from_path(folder)
    return (
        lambda text: ours.encode(text, add_bos=False),
        lambda text: theirs.encode(text, add_special_tokens=False).ids,
    )


def sentencepieces(path: Path) -> tuple[Encode, Encode]:
    """Both encoders of a tokenizer.model."""
    ours, theirs = Tokenizer.from_path(path), sentencepiece.SentencePieceProcessor(str(path))
    return lambda text: ours.encode(text, add_bos=False), theirs.encode


def seconds(encode: Encode, texts: list[str]) -> float:
    """To encode all texts once."""
    begin = time.perf_counter()
    for text in texts:
        encode(text)
    return time.perf_counter() - begin


def in_turns(ours: Encode, theirs: Encode, texts: list[str], rounds: int) -> dict[str, Any]:
    """The rates of both, and how many files they agree on."""
    n_bytes = sum(len(text.encode()) for text in texts)
    equal = sum(ours(text) == list(theirs(text)) for text in texts)  # also the warm-up
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(rounds):
        for name, encode in (("ours", ours), ("theirs", theirs)):
            rates[name].append(n_bytes / seconds(encode, texts) / 1e6)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {
        "files": len(texts), "nbytes": n_bytes, "equal": equal, "mb_s": rates,
        "median_mb_s": medians, "ratio": medians["ours"] / medians["theirs"],
    }  # fmt: skip


def long_texts(ours: Encode, theirs: Encode) -> dict[str, dict[str, list[float]]]:
    """Seconds for texts of each of LENGTHS, by kind of text and encoder; the best of three."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz    \n(.)_=é漢"
    found: dict[str, dict[str, list[float]]] = {}
    for kind in ("one letter", "random"):
        found[kind] = {"ours": [], "theirs": []}
        for n in LENGTHS:
            text = "a" * n if kind == "one letter" else "".join(draw.choices(letters, k=n))
            for name, encode in (("ours", ours), ("theirs", theirs)):
                found[kind][name].append(min(seconds(encode, [text]) for _ in range(3)))
    return found


def show(name: str, facts: dict[str, Any]) -> None:
    """Print what was measured of one kind of vocabulary."""
    rates = facts["median_mb_s"]
    print(
        f"{name}: halfbyte {rates['ours']:.2f} MB/s, the library {rates['theirs']:.2f} MB/s, "
        f"ratio {facts['ratio']:.2f}; equal ids for {facts['equal']} of {facts['files']} files"
    )
    for kind, times in facts["long"].items():
        for who, (short, long) in times.items():
            print(f"    {kind:10} {who:6} 256k {short:6.2f} s, 1M {long:6.2f} s: "
                  f"{long / short:.1f} times for 4 times the text")  # fmt: skip


def main() -> None:
    """Measure, print and append."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, nargs="?", default=MODEL, help=f"default: {MODEL.name}")
    parser.add_argument("--files", type=int, default=200, help="source files (default: 200)")
    parser.add_argument("--rounds", type=int, default=9, help="of all files (default: 9)")
    args = parser.parse_args()
    if not args.model.is_file():
        parser.error(f"{args.model} is no file; pass a tokenizer.model, or set HALFBYTE_SHARED")
    texts = source_files(args.files)
    kinds: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        encoders = {
            "sentencepiece": sentencepieces(args.model),
            "tokenizers": byte_level(texts[::2], Path(name)),
        }
        for kind, (ours, theirs) in encoders.items():
            facts = in_turns(ours, theirs, texts, args.rounds)
            kinds[kind] = facts | {"long": long_texts(ours, theirs)}
            show(kind, kinds[kind])
    libraries = {"sentencepiece": sentencepiece.__version__, "tokenizers": tokenizers.__version__}
    facts = {"rounds": args.rounds, "libraries": libraries, "long_lengths": LENGTHS} | kinds
    results.append("tokenizer", args.model, 1, facts)


if __name__ == "__main__":
    sys.exit(main())
