"""Binding a file's tensors: all faults at once, nothing ignored, everything packed."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest

import halfbyte
from halfbyte import loading
from halfbyte.engine import weights as weights_module
from halfbyte.engine.rooms import weights_memory
from halfbyte.engine.weights import ModelWeights, load_weights
from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.layouts import packing
from halfbyte.kernels.layouts.lookup import lookup_kernel
from halfbyte.kernels.layouts.panels import n_panels
from halfbyte.kernels.pool import Pool
from halfbyte.quality.float_model import FloatModel, hidden_states
from halfbyte.quality.layer_source import GGUFSource
from tests.gguf_copies import copy_keys, write

Tensors = dict[str, tuple[np.ndarray, gguf.GGMLQuantizationType]]


def rewrite(
    source: Path,
    target: Path,
    change: Callable[[Tensors], None],
    architecture: str = "llama",
    counts: Mapping[str, int] | None = None,
) -> Path:
    """Copy a file with its tensors changed, and other `counts` in its metadata."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, architecture)
    copy_keys(reader, writer, counts)
    tensors: Tensors = {t.name: (t.data, t.tensor_type) for t in reader.tensors}
    change(tensors)
    for name, (data, qtype) in tensors.items():
        writer.add_tensor(name, np.ascontiguousarray(data), raw_dtype=qtype)
    write(writer)
    return target


def test_rewriting_changes_nothing_by_itself(tiny_gguf: Path, tmp_path: Path) -> None:
    copy = rewrite(tiny_gguf, tmp_path / "copy.gguf", lambda tensors: None)
    with halfbyte.load(tiny_gguf) as a, halfbyte.load(copy) as b:
        assert (a.logits([1, 5, 9]) == b.logits([1, 5, 9])).all()


def test_all_missing_tensors_are_named(tiny_gguf: Path, tmp_path: Path) -> None:
    def drop(tensors: Tensors) -> None:
        del tensors["blk.0.attn_q.weight"], tensors["blk.1.ffn_norm.weight"]

    with pytest.raises(ModelFileError, match=r"blk\.0\.attn_q.*blk\.1\.ffn_norm"):
        halfbyte.load(rewrite(tiny_gguf, tmp_path / "bad.gguf", drop))


def test_all_misshapen_tensors_are_named(tiny_gguf: Path, tmp_path: Path) -> None:
    def cut(tensors: Tensors) -> None:
        for name in ("blk.0.ffn_up.weight", "blk.1.attn_k.weight"):
            data, qtype = tensors[name]
            tensors[name] = data[:-1], qtype

    with pytest.raises(ModelFileError, match=r"blk\.0\.ffn_up.*blk\.1\.attn_k|attn_k.*ffn_up"):
        halfbyte.load(rewrite(tiny_gguf, tmp_path / "bad.gguf", cut))


def test_tensors_that_would_be_ignored_are_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    def add(name: str) -> Callable[[Tensors], None]:
        return lambda tensors: tensors.update(
            {name: (np.zeros(64, np.float32), gguf.GGMLQuantizationType.F32)}
        )

    with pytest.raises(UnsupportedModelError, match=r"attn_sub_norm\.weight"):
        halfbyte.load(rewrite(tiny_gguf, tmp_path / "bad.gguf", add("blk.0.attn_sub_norm.weight")))
    # Where one projection has a bias, all have to.
    with pytest.raises(ModelFileError, match=r"blk\.0\.attn_k\.bias"):
        halfbyte.load(rewrite(tiny_gguf, tmp_path / "some.gguf", add("blk.0.attn_q.bias")))


def test_bad_divisors_of_the_frequencies_are_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    divisors = np.ones(8, np.float32)

    def add(tensors: Tensors) -> None:
        tensors["rope_freqs.weight"] = divisors, gguf.GGMLQuantizationType.F32

    with (
        halfbyte.load(rewrite(tiny_gguf, tmp_path / "ones.gguf", add)) as model,
        halfbyte.load(tiny_gguf) as plain,
    ):
        assert (model.logits([5, 6, 7]) == plain.logits([5, 6, 7])).all()
    for i, bad in enumerate((0.0, -1.0, np.nan, np.inf)):
        divisors[3] = bad
        with pytest.raises(ModelFileError, match=r"rope_freqs\.weight"):
            halfbyte.load(rewrite(tiny_gguf, tmp_path / f"{i}.gguf", add))
    divisors = np.ones(7, np.float32)
    with pytest.raises(ModelFileError, match=r"rope_freqs\.weight"):
        halfbyte.load(rewrite(tiny_gguf, tmp_path / "short.gguf", add))


@pytest.fixture(scope="module")
def qwen2(
    tmp_path_factory: pytest.TempPathFactory, benchmark_module: Callable[[str], ModuleType]
) -> Path:
    """A file whose rows of q and k are put into another order when it is loaded."""
    folder, tiny_llama = tmp_path_factory.mktemp("qwen2"), benchmark_module("tiny_llama")
    tiny = tiny_llama.Tiny("tiny", 5, 64, 96, 1, 4, 2, 16, 331, 1e6, tied=True, kind="qwen2")
    tiny_llama.save(tiny, folder)
    halfbyte.convert(folder, folder / "qwen2.gguf", type="f16", measure=False)
    return folder / "qwen2.gguf"


def test_missing_biases_are_named(qwen2: Path, tmp_path: Path) -> None:
    def drop(tensors: Tensors) -> None:
        del tensors["blk.0.attn_k.bias"]

    bad = rewrite(qwen2, tmp_path / "bad.gguf", drop, "qwen2")
    with pytest.raises(ModelFileError, match=r"blk\.0\.attn_k\.bias"):
        halfbyte.load(bad)


def test_gate_and_up_of_all_experts_in_one_tensor(
    tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    """As llama.cpp's converter writes them with --fuse-gate-up-exps: of each expert gate, then up.
    What is made of such a file has them so too, and is measured like any other.
    """
    tiny_llama = benchmark_module("tiny_llama")
    tiny = tiny_llama.Tiny("m", 5, 64, 96, 1, 4, 2, 16, 331, 1e6, tied=True, kind="qwen3_moe")
    tiny_llama.save(tiny, tmp_path / "hf")
    halfbyte.convert(tmp_path / "hf", tmp_path / "a.gguf", type="f32", measure=False)

    def fuse(tensors: Tensors) -> None:
        gate, up = (tensors.pop(f"blk.0.ffn_{name}_exps.weight") for name in ("gate", "up"))
        both = np.concatenate([gate[0], up[0]], axis=1), gate[1]
        tensors["blk.0.ffn_gate_up_exps.weight"] = both

    rewrite(tmp_path / "a.gguf", tmp_path / "b.gguf", fuse, "qwen3moe")
    for name in "ab":
        path, out = tmp_path / f"{name}.gguf", tmp_path / f"{name}-q4_0.gguf"
        halfbyte.convert(path, out, type="q4_0", measure=False)
    for kind in ("", "-q4_0"):
        paths = (tmp_path / f"{name}{kind}.gguf" for name in "ab")
        one, other = (halfbyte.load(path, threads=1) for path in paths)
        with one, other:
            assert (one.logits([5, 6, 7, 8]) == other.logits([5, 6, 7, 8])).all()
            assert "blk.0.ffn_gate_exps.weight" in other.engine.weights.experts
    measured = [_float_logits(tmp_path / f"{name}-q4_0.gguf") for name in "ab"]
    assert (measured[0] == measured[1]).all()


def _float_logits(path: Path) -> np.ndarray:
    with GGUFFile.open(path) as file:
        model = FloatModel(GGUFSource(file, config_from_gguf(file)))
        return next(iter(model.logits(hidden_states(model, np.array([[5, 6, 7, 8]])))))


def test_tied_embeddings_have_no_second_copy(tiny_gguf: Path, tmp_path: Path) -> None:
    def tie(tensors: Tensors) -> None:
        del tensors["output.weight"]

    with halfbyte.load(rewrite(tiny_gguf, tmp_path / "tied.gguf", tie)) as model:
        weights = model.engine.weights
        assert "output.weight" not in weights.matrices
        with halfbyte.load(tiny_gguf) as untied:
            assert weights.memory.nbytes < untied.engine.weights.memory.nbytes
            assert (model.logits([5]) != untied.logits([5])).any()


def test_norms_may_be_half_precision(tiny_gguf: Path, tmp_path: Path) -> None:
    def halve(tensors: Tensors) -> None:
        for name, (data, _) in tensors.items():
            if "norm" in name:
                tensors[name] = data.astype(np.float16), gguf.GGMLQuantizationType.F16

    with halfbyte.load(rewrite(tiny_gguf, tmp_path / "half.gguf", halve)) as model:
        assert np.isfinite(model.logits([5])).all()


@pytest.mark.parametrize("name", ["blk.1.attn_norm.weight", "blk.0.ffn_up.weight", "output.weight"])
def test_weights_that_are_no_numbers_are_named(tiny_gguf: Path, tmp_path: Path, name: str) -> None:
    def spoil(tensors: Tensors) -> None:
        data, qtype = tensors[name]
        data = np.array(data)
        if data.dtype == np.float32:
            data[5] = np.inf
        else:
            data[7, 34:36] = np.frombuffer(np.float16(np.nan).tobytes(), np.uint8)  # a scale
        tensors[name] = data, qtype

    with pytest.raises(ModelFileError, match="finite") as caught:
        halfbyte.load(rewrite(tiny_gguf, tmp_path / "nan.gguf", spoil))
    assert caught.value.field == name


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q4_1"])
def test_every_type_is_searched_for_nan(tiny_folder: Path, tmp_path: Path, kind: str) -> None:
    halfbyte.convert(tiny_folder, tmp_path / "good.gguf", type=kind, measure=False)
    halfbyte.load(tmp_path / "good.gguf").close()

    def spoil(tensors: Tensors) -> None:
        data, qtype = tensors["blk.0.attn_v.weight"]
        data = np.array(data)
        raw = data.view(np.uint8).reshape(data.shape[0], -1)
        raw[31, 2:4] = 0xFF, 0x7F  # the high half of a float, a half or the minimum of a block
        if kind in ("f16", "bf16"):
            raw[31, 2:4] = 0x80, 0x7F
        tensors["blk.0.attn_v.weight"] = data, qtype

    with pytest.raises(ModelFileError, match="finite"):
        halfbyte.load(rewrite(tmp_path / "good.gguf", tmp_path / "nan.gguf", spoil))


def load(path: Path) -> tuple[ModelWeights, GGUFFile]:
    pool = Pool(2)
    file = GGUFFile.open(path)
    config = config_from_gguf(file)
    steps: list[tuple[int, int]] = []
    memory = weights_memory(file, config)
    weights = load_weights(
        file, config, memory, pool, lambda done, total: steps.append((done, total))
    )
    pool.close()
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1][0] == steps[-1][1]
    return weights, file


def test_packed_rows_are_the_files_rows(tiny_gguf: Path) -> None:
    weights, file = load(tiny_gguf)
    reader = {t.name: t for t in gguf.GGUFReader(tiny_gguf).tensors}
    call = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 5)
    for name, matrix in weights.matrices.items():
        rows = gguf.quants.dequantize(reader[name].data, reader[name].tensor_type)
        lookup = call(lookup_kernel(matrix.format.name).address)
        out = np.empty(matrix.n_inputs, np.float32)
        units = matrix.format.n_units(matrix.n_inputs)
        for row in (0, 1, matrix.n_rows - 1):
            lookup(matrix.address, n_panels(matrix.n_rows), units, row, out.ctypes.data)
            assert (out == rows[row]).all(), (name, row)
    file.close()


def test_the_bytes_of_a_token_are_its_matrices(tiny_gguf: Path) -> None:
    weights, file = load(tiny_gguf)
    file.close()
    layers = sum(m.nbytes for n, m in weights.matrices.items() if n.startswith("blk."))
    assert weights.nbytes_per_token == layers + weights.matrices["output.weight"].nbytes


@pytest.fixture
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "STEP_NBYTES", 1)
    monkeypatch.setattr(packing, "CHUNK_NBYTES", 5000)
    monkeypatch.setattr(weights_module, "GROUP_NBYTES", 1)


def test_the_size_of_pieces_changes_nothing(
    tiny_gguf: Path, qwen2: Path, request: pytest.FixtureRequest
) -> None:
    expected = []
    for path in (tiny_gguf, qwen2):
        with halfbyte.load(path) as model:
            expected.append(model.logits(range(250)))
    request.getfixturevalue("in_small_pieces")
    for path, logits in zip((tiny_gguf, qwen2), expected, strict=True):
        with halfbyte.load(path) as model:
            assert (model.logits(range(250)) == logits).all()


def test_without_reading_in_kernels_it_is_the_same(
    tiny_gguf: Path, qwen2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tiny_gguf, qwen2):
        with halfbyte.load(path) as model:
            expected = model.logits(range(250))
        with monkeypatch.context() as patch:
            patch.setattr(packing, "_read_address", lambda: packing._NO_READ)
            with halfbyte.load(path) as model:
                assert (model.logits(range(250)) == expected).all()


def test_a_file_that_is_cut_short_meanwhile_is_said(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny_gguf.read_bytes())

    def cut(*args: Any) -> Any:
        os.truncate(path, path.stat().st_size - 100_000)
        return load_weights(*args)

    monkeypatch.setattr(loading, "load_weights", cut)
    with pytest.raises(ModelFileError, match="cut short") as caught:
        halfbyte.load(path)
    assert caught.value.path == str(path)
