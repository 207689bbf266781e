"""Checkpoints that were quantized already: the values that llama.cpp's converter reads, exactly."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from halfbyte.converting.sources.quantized.checkpoint import Checkpoint
from halfbyte.converting.sources.quantized.checkpoint_tensors import METHODS
from halfbyte.converting.sources.safetensors_file import SafetensorsFile

pytestmark = pytest.mark.oracle

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "data" / "quantized"
# What its converter does not read: AWQ, a scale for a whole tensor, packed codes by channel.
REFUSED = {"awq-4", "float-8-tensor", "packed-8-channel"}
# It leaves the zero points of int-quantized files out; compressed-tensors itself does not.
OTHER = {"int-8-asym"}
N_ROWS, N_INPUTS = 40, 96
BLOCK = [16, 64]


def write(path: Path, settings: dict[str, Any], **tensors: np.ndarray) -> None:
    """A file as those of tests/data/quantized; bytes are numbers of 8 bits."""
    kinds = {"uint8": "F8_E4M3", "int32": "I32", "float16": "F16", "float32": "F32"}
    header: dict[str, Any] = {"__metadata__": {"settings": json.dumps(settings)}}
    data = b""
    for name, t in tensors.items():
        offsets = [len(data), len(data) + t.nbytes]
        header[f"m.{name}"] = {
            "dtype": kinds[str(t.dtype)], "shape": t.shape, "data_offsets": offsets
        }  # fmt: skip
        data += t.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def random_gptq(path: Path, bits: int, form: str, seed: int) -> None:
    """Any codes, zero points and order of the inputs.

    But for the largest zero point: one more is 0 to AutoGPTQ, which wrote such files, and 2^bits to
    llama.cpp.
    """
    rng = np.random.default_rng(seed)
    n_groups, per_word = N_INPUTS // 32, 32 // bits

    zeros = rng.integers(0, 2**bits - 1, (n_groups, N_ROWS // per_word, per_word))
    write(
        path,
        {"quant_method": "gptq", "bits": bits, "group_size": 32, "desc_act": True, "sym": False,
         "checkpoint_format": form},
        qweight=rng.integers(-(2**31), 2**31, (N_INPUTS // per_word, N_ROWS), dtype=np.int32),
        qzeros=(zeros << np.arange(0, 32, bits)).sum(-1).astype(np.uint32).view(np.int32),
        scales=rng.standard_normal((n_groups, N_ROWS)).astype(np.float16),
        g_idx=rng.permutation(np.arange(N_INPUTS, dtype=np.int32) // 32),
    )  # fmt: skip


def random_fp8(path: Path) -> None:
    """All numbers of 8 bits, in blocks that the matrix has no whole number of."""
    rng = np.random.default_rng(7)
    finite = np.array([i for i in range(256) if i & 0x7F != 0x7F], np.uint8)
    shape = [-(-n // size) for n, size in zip((N_ROWS, N_INPUTS), BLOCK, strict=True)]
    write(
        path,
        {"quant_method": "fp8", "weight_block_size": BLOCK, "activation_scheme": "dynamic"},
        weight=rng.choice(finite, (N_ROWS, N_INPUTS)),
        weight_scale_inv=rng.standard_normal(shape).astype(np.float32),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of the methods' own packages, and random ones."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for bits in (4, 8):
        for form in ("gptq", "gptq_v2"):
            random_gptq(folder / f"{form}-{bits}.safetensors", bits, form, bits)
    random_fp8(folder / "fp8.safetensors")
    return sorted([*GOLDEN.glob("*.safetensors"), *folder.glob("*.safetensors")])


def ours(path: Path) -> np.ndarray:
    stored = dict(SafetensorsFile(path).tensors)
    stored.pop("expected", None)
    with safe_open(path, framework="numpy") as file:
        settings = json.loads(file.metadata()["settings"])
    found = METHODS[settings["quant_method"]](Checkpoint(path.parent, settings, stored))
    values: np.ndarray = found["m.weight"].rows(slice(None))
    return values


def test_values_are_those_that_llama_cpp_reads(
    files: list[Path], torch_python: Path, llama_cpp_sources: Path, tmp_path: Path
) -> None:
    script, out = ROOT / "benchmarks" / "llama_cpp_checkpoint.py", tmp_path / "theirs.npz"
    path = os.pathsep.join(map(str, (llama_cpp_sources, llama_cpp_sources / "gguf-py")))
    command = [torch_python, "-P", script, out, *files]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": path})
    theirs = np.load(out)
    assert {file.stem for file in files} - set(theirs.files) == REFUSED
    for file in files:
        if file.stem not in REFUSED:
            found = ours(file)
            assert found.shape == theirs[file.stem].shape
            assert (found == theirs[file.stem]).all() == (file.stem not in OTHER), file.stem
