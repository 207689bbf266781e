"""What a model is said to take, against what a process takes; files that would take too much."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

import halfbyte
from halfbyte import loading, system
from halfbyte.engine.footprint import memory_of
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.layouts.packing import STEP_NBYTES

INFILL = Path(halfbyte.__file__).parent / "data" / "infill-10m.gguf"
HEAD_DIM, GROUP = 16, 2  # as other tests have them, so that nothing new is compiled
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")

# Loads, runs a full chunk of a prompt and a token; prints peak, and whether kernels were compiled.
RUN = """
import json, logging, sys
import halfbyte
from halfbyte.engine.engine import Span
from halfbyte.kernels.compiler import jit
compiled, compile_all = [], jit.compile_all
jit.compile_all = lambda *a: compiled.append(compile_all(*a)) or compiled[-1]
def status(key):
    line = next(line for line in open("/proc/self/status") if line.startswith(key))
    return 1024 * int(line.split()[1])
for path in sys.argv[1:]:
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    with halfbyte.load(path, threads=2) as model:
        sequence = model.engine.new_sequence()
        model.engine.forward([Span(sequence, [1] * 256, 1)])
        model.engine.forward([Span(sequence, [1], 1)])
    print(json.dumps([status("VmHWM"), before, sum(compiled)]))
"""

# Packs a file's weights; prints how far the peak of memory lies above what was there, and them.
PACK = """
import sys
import halfbyte
from halfbyte import system
from halfbyte.engine.rooms import weights_memory
from halfbyte.engine.weights import load_weights
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.gguf.file import GGUFFile
def status(key):
    line = next(line for line in open("/proc/self/status") if line.startswith(key))
    return 1024 * int(line.split()[1])
halfbyte.load("infill-10m", threads=2).close()
pool = system.start_pool(2)
with GGUFFile.open(sys.argv[1]) as file:
    config = config_from_gguf(file)
    before = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    memory = weights_memory(file, config)
    weights = load_weights(file, config, memory, pool, lambda done, total: None)
    print(status("VmHWM") - before, weights.memory.nbytes)
"""


def _write(
    path: Path, *, dim: int, hidden_dim: int, n_kv_heads: int, n_layers: int = 1, n_vocab: int = 300
) -> Path:
    """A Llama file of any dimensions, its weights all equal, Q8_0."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_embedding_length(dim)
    writer.add_block_count(n_layers)
    writer.add_feed_forward_length(hidden_dim)
    writer.add_head_count(GROUP * n_kv_heads)
    writer.add_head_count_kv(n_kv_heads)
    writer.add_key_length(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e4)
    words = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % i for i in range(256))]
    words += [b"w%d" % i for i in range(n_vocab - len(words))]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (n_vocab - 259)]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([0.0] * n_vocab)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)

    def matrix(name: str, n_rows: int, n_inputs: int) -> None:
        block = np.concatenate([np.float16([0.001]).view(np.uint8), np.ones(32, np.uint8)])
        rows = np.tile(block, (n_rows, n_inputs // 32))
        writer.add_tensor(name, rows, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    kv_dim = n_kv_heads * HEAD_DIM
    q_dim = GROUP * kv_dim
    matrix("token_embd.weight", n_vocab, dim)
    for i in range(n_layers):
        for name, n_rows, n_inputs in (
            ("attn_q", q_dim, dim), ("attn_k", kv_dim, dim), ("attn_v", kv_dim, dim),
            ("attn_output", dim, q_dim), ("ffn_gate", hidden_dim, dim), ("ffn_up", hidden_dim, dim),
            ("ffn_down", dim, hidden_dim),
        ):  # fmt: skip
            matrix(f"blk.{i}.{name}.weight", n_rows, n_inputs)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(dim, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(dim, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _peaks(*paths: Path) -> list[list[int]]:
    """(peak, before, kernels compiled) of a process that runs one model after another."""
    command = [sys.executable, "-c", RUN, *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def _need(path: Path) -> tuple[int, int]:
    """What is said that it takes, in all and without Python."""
    with GGUFFile.open(path) as file:
        need = memory_of(file, config_from_gguf(file), "f16", 257, 2)
    return need.total, need.total - need.runtime


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """50 MB of weights."""
    path = tmp_path_factory.mktemp("memory") / "large.gguf"
    return _write(path, dim=512, hidden_dim=2048, n_kv_heads=16, n_layers=8, n_vocab=20000)


@pytest.mark.parametrize("name", ["infill-10m", "large"])
def test_a_process_takes_what_is_said(name: str, large: Path) -> None:
    path = large if name == "large" else INFILL
    peak, _, compiled = _peaks(path)[0]
    if compiled:  # which takes some 60 MB more, once
        peak = _peaks(path)[0][0]
    said = _need(path)[0]
    # Versions of Python and Numba differ by some MB.
    assert abs(said - peak) < 0.05 * peak + 16e6, (said, peak)


def test_memory_while_loading_is_one_copy_and_a_piece_a_thread(tmp_path: Path) -> None:
    # A third of the weights lie in one tensor.
    path = _write(tmp_path / "wide.gguf", dim=512, hidden_dim=1 << 16, n_kv_heads=1)
    command = [sys.executable, "-c", PACK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    peak, packed = map(int, done.stdout.split())
    assert packed > 100e6
    assert packed < peak < packed + 2 * STEP_NBYTES + 8e6


def test_odd_dimensions_take_what_is_said(tmp_path: Path) -> None:
    rng, paths = np.random.default_rng(4), []
    for i, axis in enumerate(["dim", "hidden_dim", "n_kv_heads", "n_layers", "n_vocab"]):
        odd = {"dim": 32, "hidden_dim": 32, "n_kv_heads": 1, "n_layers": 1, "n_vocab": 260}
        most = {"dim": 20000, "hidden_dim": 20000, "n_kv_heads": 300, "n_layers": 300,
                "n_vocab": 30000}[axis]  # fmt: skip
        odd[axis] = int(rng.integers(most // 2, most)) // 32 * 32
        paths.append(_write(tmp_path / f"{i}.gguf", **odd))
    _peaks(INFILL, *paths)  # compiles what may be to compile
    for path, (peak, before, _) in zip(paths, _peaks(INFILL, *paths)[1:], strict=True):
        said = _need(path)[1]
        assert peak - before < 1.1 * said + 16e6, path
        assert said < 4 * path.stat().st_size + 64e6 + 60e6  # and a vocabulary


@pytest.mark.parametrize("axis", ["hidden_dim", "n_kv_heads"])
def test_a_small_file_that_would_take_much_is_refused_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, axis: str
) -> None:
    odd = {"dim": 32, "hidden_dim": 32, "n_kv_heads": 1}
    odd[axis] = {"hidden_dim": 1 << 18, "n_kv_heads": 1 << 12}[axis]
    path = _write(tmp_path / "odd.gguf", **odd)

    def fail(*args: object) -> None:
        raise AssertionError("memory was taken")

    for name in ("weights_memory", "load_weights", "Engine"):
        monkeypatch.setattr(loading, name, fail)
    monkeypatch.setattr(system, "start_pool", fail)
    with pytest.raises(halfbyte.ModelFileError, match="dimensions: expected a need of at most"):
        halfbyte.load(path)


def test_what_a_model_takes_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="halfbyte"), halfbyte.load(INFILL, threads=1):
        pass
    assert any("MB of weights" in record.getMessage() for record in caplog.records)
