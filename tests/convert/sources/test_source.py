"""GGUF files as sources, and what stands in the way of writing."""

from __future__ import annotations

import filecmp
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np
import pytest

from halfbyte.conversion import convert as convert_function
from halfbyte.converting.sources import safetensors_file
from halfbyte.converting.sources.source import open_source
from halfbyte.errors import ConversionError, ModelFileError, RequestError
from halfbyte.files.file_reader import FileReader

convert = functools.partial(convert_function, measure=False)


def _fields(path: Path) -> dict[str, object]:
    fields = gguf.GGUFReader(path).fields
    return {k: f.contents() for k, f in fields.items() if not k.startswith("GGUF.")}


@pytest.fixture(scope="module")
def f32(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sources") / "f32.gguf"
    convert(tiny_folder, path, type="f32")
    return path


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "q4_k_m", "f16"])
def test_a_file_gives_what_its_folder_gives(
    tiny_folder: Path, f32: Path, tmp_path: Path, name: str
) -> None:
    convert(tiny_folder, tmp_path / "a.gguf", type=name, name="x")
    convert(f32, tmp_path / "b.gguf", type=name, name="x")
    a, b = (gguf.GGUFReader(tmp_path / f"{n}.gguf").tensors for n in "ab")
    assert [(t.name, t.tensor_type) for t in a] == [(t.name, t.tensor_type) for t in b]
    assert all((x.data == y.data).all() for x, y in zip(a, b, strict=True))
    assert _fields(tmp_path / "a.gguf") == _fields(tmp_path / "b.gguf")


def test_a_window_stays_in_the_file_that_is_made_of_a_file(
    tmp_path: Path, benchmark_module: Callable[[str], ModuleType]
) -> None:
    tiny_llama = benchmark_module("tiny_llama")
    tiny = tiny_llama.Tiny("m", 1, 64, 96, 1, 4, 2, 16, 323, 1e4, tied=True, kind="mistral")
    tiny_llama.save(tiny, tmp_path / "hf")
    convert(tmp_path / "hf", tmp_path / "a.gguf", type="f32")
    convert(tmp_path / "a.gguf", tmp_path / "b.gguf", type="f16")
    for path in (tmp_path / "hf", tmp_path / "a.gguf", tmp_path / "b.gguf"):
        with closing(open_source(path)) as source:
            assert source.config.sliding_window == 24


def test_tensors_of_the_type_are_copied(
    f32: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    convert(f32, tmp_path / "a.gguf", type="q4_0")
    assert "quantized already" not in caplog.text
    convert(tmp_path / "a.gguf", tmp_path / "b.gguf", type="q4_0")
    assert "quantized already" not in caplog.text
    assert filecmp.cmp(tmp_path / "a.gguf", tmp_path / "b.gguf", shallow=False)
    convert(tmp_path / "b.gguf", tmp_path / "floats.gguf", type="f32")
    assert "quantized already" not in caplog.text
    convert(tmp_path / "b.gguf", tmp_path / "c.gguf", type="q8_0")
    assert "15 tensors are quantized already" in caplog.text


def test_all_metadata_is_kept(f32: Path, tmp_path: Path) -> None:
    reader = gguf.GGUFReader(f32)
    writer = gguf.GGUFWriter(tmp_path / "more.gguf", "llama")
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            kind = field.types[0]
            element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, element)
    writer.add_array("custom.words", ["a", "é"])
    writer.add_array("custom.numbers", [1, -2])
    writer.add_float64("custom.pi", 3.14159265358979)
    writer.add_string("halfbyte.source.sha256", "0" * 64)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    convert(tmp_path / "more.gguf", tmp_path / "out.gguf", type="q8_0")
    old, new = _fields(tmp_path / "more.gguf"), _fields(tmp_path / "out.gguf")
    assert new.pop("general.file_type") == 7
    assert new.pop("general.quantization_version") == 2
    for key in ("general.file_type", "general.quantization_version", "halfbyte.source.sha256"):
        old.pop(key, None)
    assert old.pop("halfbyte.tensors.sha256") != new.pop("halfbyte.tensors.sha256")
    assert old == new


def test_targets_that_cannot_be_written(f32: Path, tmp_path: Path) -> None:
    for target, said in (
        (tmp_path, "got a folder"),
        (tmp_path / "none" / "x.gguf", "a folder to write to"),
    ):
        with pytest.raises(ConversionError, match=said):
            convert(f32, target, force=True)
    with pytest.raises(RequestError, match="another file than the source"):
        convert(f32, f32, force=True)
    link = tmp_path / "link.gguf"
    link.symlink_to(f32)
    with pytest.raises(RequestError, match="another file than the source"):
        convert(f32, link, force=True)


def test_sources_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="got nothing there"):
        convert(tmp_path / "none", tmp_path / "x.gguf")
    (tmp_path / "weights.bin").write_bytes(b"x")
    with pytest.raises(ConversionError, match=r"folder or a \.gguf"):
        convert(tmp_path / "weights.bin", tmp_path / "x.gguf")
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelFileError):
        convert(tmp_path / "broken.gguf", tmp_path / "x.gguf")
    assert not (tmp_path / "x.gguf").exists()


def test_a_folders_files_are_closed_with_it(tiny_folder: Path) -> None:
    """Whoever removes a folder of gigabytes gets their room back."""
    with closing(open_source(tiny_folder)) as source:
        assert source.tensors[0].rows(0, 1).size
    with pytest.raises(ConversionError, match="Bad file descriptor"):
        source.tensors[0].rows(0, 1)


def test_what_a_broken_folder_opened_is_closed(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[FileReader] = []

    class Reader(FileReader):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            opened.append(self)

    monkeypatch.setattr(safetensors_file, "FileReader", Reader)
    shutil.copytree(tiny_folder, tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 99}))
    with pytest.raises(ConversionError):
        open_source(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"no header")
    with pytest.raises(ConversionError):
        open_source(tmp_path / "m")
    assert len(opened) == 2
    for reader in opened:
        with pytest.raises(ConversionError, match="Bad file descriptor"):
            reader.read(0, 1)


def test_a_file_that_could_not_run_is_refused(f32: Path, tmp_path: Path) -> None:
    """Before anything is written, and with the error of loading it."""
    reader = gguf.GGUFReader(f32)
    writer = gguf.GGUFWriter(tmp_path / "less.gguf", "llama")
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            kind = field.types[0]
            element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, element)
    for tensor in reader.tensors:
        if tensor.name != "blk.1.ffn_up.weight":
            writer.add_tensor(tensor.name, np.array(tensor.data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelFileError, match=r"blk\.1\.ffn_up"):
        convert(tmp_path / "less.gguf", tmp_path / "x.gguf")
    assert [path.name for path in tmp_path.iterdir()] == ["less.gguf"]


def test_too_little_space(f32: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("halfbyte.converting.target.shutil.disk_usage", lambda path: usage)
    with pytest.raises(ConversionError, match="free space"):
        convert(f32, tmp_path / "x.gguf")
    assert not list(tmp_path.iterdir())


def test_a_killed_conversion_leaves_nothing_that_lasts(tiny_folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.gguf"
    script = f"""
        import time
        from halfbyte.conversion import convert
        def wait(stage, done, total):
            print("begun", flush=True)
            time.sleep(60)
        convert({str(tiny_folder)!r}, {str(target)!r}, measure=False, progress=wait)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"begun\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [path.suffix for path in tmp_path.iterdir()] == [".part"]
    convert(tiny_folder, target)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


def test_memory_stays_below_twice_the_largest_tensor(tmp_path: Path, f32: Path) -> None:
    """Beyond what the same process needs for a small file; the file is mostly layers."""
    pytest.importorskip("resource")
    writer = gguf.GGUFWriter(tmp_path / "big.gguf", "llama")
    for key, field in gguf.GGUFReader(f32).fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            kind = field.types[0]
            element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            value = field.contents()
            value = 24 if key == "llama.block_count" else value
            value = 65536 if key == "llama.feed_forward_length" else value
            writer.add_key_value(key, value, kind, element)
    rng = np.random.default_rng(0)
    for tensor in gguf.GGUFReader(f32).tensors:
        if not tensor.name.startswith("blk."):
            writer.add_tensor(tensor.name, np.array(tensor.data))
    wide = rng.standard_normal((65536, 64), np.float32).astype(np.float16)
    for i in range(24):
        for t in gguf.GGUFReader(f32).tensors:
            if t.name.startswith("blk.0."):
                name = t.name.replace("blk.0.", f"blk.{i}.")
                data = np.array(t.data)
                if "ffn_" in name and data.ndim == 2:
                    data = wide if "down" not in name else wide.reshape(64, 65536)
                writer.add_tensor(name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    script = """
        import resource, sys
        from halfbyte.conversion import convert
        convert(sys.argv[1], sys.argv[2], type="q8_0", threads=2, measure=False)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        convert(sys.argv[3], sys.argv[4], type="q8_0", threads=2, measure=False)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), f32, tmp_path / "s.gguf",
         tmp_path / "big.gguf", tmp_path / "b.gguf"], check=True, capture_output=True,
    ).stdout  # fmt: skip
    largest = 4 * wide.size  # 17 MB; all weights are 0.6 GB in the file
    assert int(out) * 1024 < 2 * largest + 150_000_000
