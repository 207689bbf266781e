"""llama.cpp quantizing with an importance matrix of ours."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import halfbyte
from halfbyte.converting.calibration.importance import (
    collect_importance,
    load_importance,
    save_importance,
)
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.quality.distance import measure
from halfbyte.quality.float_model import FloatModel
from halfbyte.quality.layer_source import GGUFSource
from halfbyte.quality.texts import packaged_text, token_windows
from halfbyte.tokenizer import Tokenizer

pytestmark = pytest.mark.oracle

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
Q4_0 = "2"


def test_llama_cpp_does_better_with_it(shared_dir: Path, peer_python: Path, tmp_path: Path) -> None:
    f16 = tmp_path / "f16.gguf"
    halfbyte.convert(shared_dir / "data" / "models" / "infill-10m", f16, type="f16", measure=False)
    kl = {}
    with GGUFFile.open(f16) as file:
        tokenizer = Tokenizer.from_gguf(file)
        source = GGUFSource(file, config_from_gguf(file))
        ids = token_windows(tokenizer, packaged_text("calibration"), max_windows=12)
        save_importance(tmp_path / "i.gguf", collect_importance(FloatModel(source), ids))
        np.savez(tmp_path / "means.npz", **load_importance(tmp_path / "i.gguf").means)
        heldout = token_windows(tokenizer, packaged_text("heldout"), max_windows=6)
        for imatrix in ((), ("--imatrix", tmp_path / "means.npz")):
            out = tmp_path / "out.gguf"
            command = [peer_python, BENCHMARKS / "peer_quantize.py", f16, out, Q4_0, "--pure"]
            subprocess.run([*command, *imatrix], check=True, capture_output=True)
            with GGUFFile.open(out) as result_file:
                result = GGUFSource(result_file, config_from_gguf(result_file))
                kl[imatrix] = measure(source, result, heldout).distance.mean_kl
    without, with_it = kl.values()
    print(f"Q4_0, mean KL: {without:.4f}, with importance {with_it:.4f}")
    assert np.isfinite(with_it) and with_it < 0.95 * without
