"""Files of each tensor type, made by ggml's own quantizers: what it and llama.cpp say of them.

llama.cpp rounds activations otherwise (blocks of 256 have one scale there), so logits agree within
a tolerance; what blocks stand for is the same number, and so is what simple types are made of.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import halfbyte
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.quantizers.quantize import dequantize, quantize
from tests.mutants.document import Tensor, parse
from tests.oracles.llama_cpp_answers import logits_of, words

pytestmark = pytest.mark.oracle

# max |difference| / max |logit|: twice the most that was measured.
TOLERANCE = 0.18
TYPES = [
    "IQ4_NL", "IQ4_XS", "NVFP4", "Q1_0", "Q2_0", "TQ1_0", "TQ2_0", "IQ3_S", "IQ3_XXS", "IQ2_S",
    "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S",
]  # fmt: skip
SAME_BYTES = ("Q1_0", "Q2_0", "TQ1_0", "TQ2_0")
each_type = pytest.mark.parametrize("fmt", [FORMATS[name] for name in TYPES], ids=TYPES)


class Ggml:
    """llama.cpp's library of tensors."""

    def __init__(self, python: Path) -> None:
        (path,) = python.parent.parent.glob(
            "lib/python3*/site-packages/llama_cpp/lib/libggml-base.so"
        )
        self._lib = ctypes.CDLL(str(path))
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._lib.ggml_quantize_chunk.argtypes = [
            ctypes.c_int, pointer, pointer, integer, integer, integer, pointer
        ]  # fmt: skip
        self._lib.ggml_quantize_chunk.restype = ctypes.c_size_t

    def quantize(self, x: np.ndarray, fmt: BlockFormat) -> np.ndarray:
        """Rows of floats as bytes; all inputs matter alike."""
        out = np.zeros((len(x), fmt.row_nbytes(x.shape[1])), np.uint8)
        x, flat = np.ascontiguousarray(x, np.float32), np.ones(x.shape[1], np.float32)
        n = self._lib.ggml_quantize_chunk(
            fmt.ggml_id, x.ctypes.data, out.ctypes.data, 0, *x.shape, flat.ctypes.data
        )
        assert n == out.nbytes
        return out

    def dequantize(self, rows: np.ndarray, fmt: BlockFormat, n: int) -> np.ndarray:
        """Their floats."""
        function = getattr(self._lib, f"dequantize_row_{fmt.name.lower()}")
        function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        out = np.empty((len(rows), n), np.float32)
        function(rows.ctypes.data, out.ctypes.data, out.size)
        return out


@pytest.fixture(scope="module")
def ggml(peer_python: Path) -> Ggml:
    """From the environment of llama.cpp."""
    return Ggml(peer_python)


@each_type
def test_blocks_stand_for_what_ggml_says(ggml: Ggml, fmt: BlockFormat) -> None:
    x = 0.02 * np.random.default_rng(4).standard_t(4, (64, 1024)).astype(np.float32)
    rows = ggml.quantize(x, fmt)
    ours = dequantize(rows, fmt, 1024)
    assert (ours.view(np.uint32) == ggml.dequantize(rows, fmt, 1024).view(np.uint32)).all()
    if fmt.name in SAME_BYTES:
        assert (quantize(x, fmt) == rows).all()


@pytest.fixture(scope="module")
def plain_file(
    benchmark_module: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A tiny random model in F32."""
    tiny_llama, folder = benchmark_module("tiny_llama"), tmp_path_factory.mktemp("tiny")
    tiny_llama.save(tiny_llama.Tiny("tiny", 3, 256, 512, 4, 4, 2, 64, 331, 1e6, tied=False), folder)
    path = folder / "f32.gguf"
    halfbyte.convert(folder, path, type="f32", measure=False)
    return path


def _with_matrices(
    plain_file: Path, ggml: Ggml, fmt: BlockFormat, path: Path, factor: float = 1
) -> Path:
    """The file with its layers' matrices in a type, over a factor that it states beside them."""
    document = parse(plain_file.read_bytes())
    for tensor in [t for t in document.tensors if t.name[:4] == b"blk." and len(t.dims) == 2]:
        x = np.frombuffer(tensor.data, np.float32).reshape(tensor.dims[::-1]) / np.float32(factor)
        tensor.type_id, tensor.data = fmt.ggml_id, ggml.quantize(x, fmt).tobytes()
        if factor != 1:
            name = tensor.name.replace(b".weight", b".scale")
            document.tensors.append(Tensor(name, [1], 0, np.float32(factor).tobytes()))
    path.write_bytes(document.to_bytes())
    return path


@pytest.mark.parametrize(
    ("fmt", "factor"), [*((FORMATS[name], 1.0) for name in TYPES), (FORMATS["NVFP4"], 0.001)],
    ids=[*TYPES, "NVFP4 and factors"],
)  # fmt: skip
def test_llama_cpp_runs_the_same_file(
    ggml: Ggml, peer_python: Path, plain_file: Path, fmt: BlockFormat, factor: float,
    tmp_path: Path,
) -> None:  # fmt: skip
    path, ids = tmp_path / "m.gguf", words(40)
    _with_matrices(plain_file, ggml, fmt, path, factor)
    expected = logits_of(peer_python, path, ids)
    with halfbyte.load(path, threads=2) as model:
        error = np.abs(model.logits(ids) - expected).max() / np.abs(expected).max()
    print(f"{fmt.name}: {error:.2g}")
    assert error < TOLERANCE


def test_factors_are_a_part_of_what_is_converted(
    ggml: Ggml, plain_file: Path, tmp_path: Path
) -> None:
    fmt, name = FORMATS["NVFP4"], "blk.1.ffn_up.weight"
    path = _with_matrices(plain_file, ggml, fmt, tmp_path / "m.gguf", 0.001)
    with GGUFFile.open(path) as file:
        rows = file.data(name).reshape(512, -1)
    expected = ggml.dequantize(rows, fmt, 256) * np.float32(0.001)
    for kind in ("f32", "keep"):  # what was published so stays so, where "pure" does not say more
        out, is_pure = tmp_path / f"{kind}.gguf", kind == "f32"
        halfbyte.convert(path, out, type=kind, measure=False, pure=is_pure)
    with GGUFFile.open(tmp_path / "f32.gguf") as file:
        assert (file.data(name).view(np.float32).reshape(512, 256) == expected).all()
        assert "blk.1.ffn_up.scale" not in file.tensors
    with GGUFFile.open(tmp_path / "keep.gguf") as file:
        assert (file.data(name).reshape(512, -1) == rows).all()
        assert file.data("blk.1.ffn_up.scale").view(np.float32) == np.float32(0.001)
