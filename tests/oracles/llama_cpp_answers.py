"""What llama.cpp says of a file, by benchmarks/peer.py."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]


def ask(python: Path, model: Path, *lines: str) -> None:
    """Have it carry out commands."""
    command = [python, ROOT / "benchmarks" / "peer.py", model]
    text = "\n".join(lines) + "\n"
    subprocess.run(command, input=text, check=True, text=True, stdout=subprocess.DEVNULL)


def logits_of(python: Path, model: Path, ids: Sequence[int]) -> NDArray[np.float32]:
    """Logits after each of the tokens; files of them lie beside the model."""
    ids_file, logits_file = (model.with_suffix(f".{name}.npy") for name in ("ids", "logits"))
    np.save(ids_file, np.array(ids))
    ask(python, model, f"logits {ids_file} {logits_file}")
    logits: NDArray[np.float32] = np.load(logits_file)
    return logits


def words(n: int) -> list[int]:
    """A text of tiny models' words, n of them behind the token that begins it."""
    return [1, *np.random.default_rng(3).integers(259, 315, n).tolist()]
