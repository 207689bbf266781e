"""Random checkpoints and what transformers and torch say to them in float32."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import halfbyte

F32 = NDArray[np.float32]
ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = {"f32": 1e-4, "f16": 2e-3}
# Of a number that lies between two halves either may come out.
HALF = 1e-3
# Choices of experts that are so near to a tie may come out otherwise: rows of their own.
TIE = 1e-4


def make_checkpoints(
    specs: Sequence[Mapping[str, Any]], out: Path, python: Path, tiny_llama: ModuleType
) -> Path:
    """A folder with a checkpoint and its expected.npz for each of benchmarks/tiny_llama's.

    Args:
        specs: fields of Tiny, and what benchmarks/transformers_peer.py takes besides.
        out: the folder.
        python: the interpreter that has torch.
        tiny_llama: the module.
    """
    (out / "specs.json").write_text(json.dumps(specs))
    script = ROOT / "benchmarks" / "transformers_peer.py"
    subprocess.run([python, script, out / "specs.json", out], check=True)
    for spec in specs:
        tiny_llama.save_tokenizer(spec["vocab_size"], out / spec["name"])
    return out


def check_answers(folder: Path) -> None:
    """A converted checkpoint's logits are near transformers', and its greedy ids are the same.

    With a cache of 32 bits they are within TOLERANCE. With one of half floats they are

    - within HALF of transformers whose cache is rounded likewise, which is the same arithmetic;
    - within TOLERANCE of transformers as it is; or, where rounding its cache moves its own logits
      by more than HALF, within HALF beyond that. So much is the cache's, not the engine's.

    Counted apart are rows in which a choice of experts is within TIE of another. In the last
    comparison so are all from the first one on in which rounding leads transformers to other
    experts: later rows attend to what these made, and near ties alone do not tell which (half keys
    change scores by far more than TIE). `is_same` is of transformers' two runs, so that no choice
    of ours takes a row out.
    """
    path = folder.with_suffix(".gguf")
    halfbyte.convert(folder, path, type="f32", measure=False)
    with np.load(folder / "expected.npz") as answers:
        a = {name: answers[name] for name in answers.files}
    ids, greedy, is_same = a["ids"].tolist(), a["greedy"], a["is_same"]
    found = {}
    for kv_type in TOLERANCE:
        with halfbyte.load(path, threads=2, kv_type=kv_type) as model:
            found[kv_type] = model.logits(ids)
            tokens = model.complete(ids, max_tokens=len(greedy)).tokens
        if kv_type == "f32":
            # A model may end by itself; transformers was told not to stop.
            assert tokens == greedy[: len(tokens)].tolist()
            assert len(tokens) == len(greedy) or 2 in greedy
    clear, half_clear = (a[name] > TIE for name in ("margins", "half_margins"))
    own = _distance(found["f32"], a["logits"], clear)
    half = _distance(found["f16"], a["half_logits"], half_clear)
    before = clear & np.logical_and.accumulate(is_same)
    both = _distance(found["f16"], a["logits"], before)
    allowed = max(TOLERANCE["f16"], HALF + _distance(a["half_logits"], a["logits"], before))
    said = f"f32 {own:.2g}, f16 {half:.2g} and {both:.2g}"
    print(f"{folder.name}: {said}, {(~clear).sum()} near ties, {(~is_same).sum()} of other experts")
    assert own < TOLERANCE["f32"] and half < HALF and both < allowed
    assert clear.mean() > 0.5 and half_clear.mean() > 0.5 and is_same.mean() > 0.8


def _distance(found: F32, expected: F32, counts: NDArray[np.bool_]) -> float:
    """Of the rows that count, the largest difference, in proportion to the largest logit."""
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max(-1)[counts].max(initial=0) / np.abs(expected).max())
