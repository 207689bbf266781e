"""A Hugging Face folder is a model: converted once, whoever asks, and again when it changes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import halfbyte
from halfbyte import system
from halfbyte.files.json_folder import TEMPLATES
from halfbyte.kernels.compiler import jit
from halfbyte.models.folder import fingerprint


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    system.set_up_kernels()  # compiled code stays where it is
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def folder(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "my model"))


def _files(models: Path) -> list[str]:
    return sorted(path.name for path in models.glob("*.gguf"))


def test_it_is_converted_once(
    folder: Path, models: Path, tiny_gguf: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with halfbyte.load(tiny_gguf, threads=1) as model:
        expected = model.complete([1, 5, 9], max_tokens=5).tokens
    for n_said in (1, 1):
        with halfbyte.load(folder, threads=1) as model:
            assert model.complete([1, 5, 9], max_tokens=5).tokens == expected
            assert Path(model.path).parent == models
        assert caplog.text.count("once, into") == n_said
    (name,) = _files(models)
    assert sorted(path.name for path in models.iterdir()) == [f".{name}.used", name]
    assert name.startswith("my-model-") and name.endswith(".q8_0.gguf")
    with halfbyte.load(folder, threads=1, type="q4_0"):
        assert len(_files(models)) == 2


def test_what_killed_conversions_left_in_the_cache_goes(folder: Path, models: Path) -> None:
    models.mkdir(parents=True)
    left = models / f"my-model-{'0' * 16}.q8_0.gguf.{'0' * 16}.part"  # of the folder as it was
    stranger = models / "mine.part"
    for path in (left, stranger):
        path.write_bytes(b"half")
    with halfbyte.load(folder, threads=1):
        assert stranger.exists() and not left.exists()


def test_a_changed_folder_is_converted_again(folder: Path, models: Path) -> None:
    first = fingerprint(folder)
    (folder / "README.md").write_text("nothing that is read")
    assert fingerprint(folder) == first
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"rope_theta": 5e5}))
    second = fingerprint(folder)
    os.utime(folder / "model.safetensors", ns=(1, 1))
    third = fingerprint(folder)
    (folder / TEMPLATES).mkdir()
    (folder / TEMPLATES / "tool_use.jinja").write_text("{{ tools }}")
    assert len({first, second, third, fingerprint(folder)}) == 4


def test_processes_convert_once_together(folder: Path, models: Path) -> None:
    script = (
        "import sys, logging, pathlib, halfbyte\n"
        "from halfbyte import system\n"
        "from halfbyte.kernels.compiler import jit\n"
        "system.set_up_kernels()\n"
        "jit.use_directory(pathlib.Path(sys.argv[2]))  # what is compiled already\n"
        "logging.basicConfig(stream=sys.stdout)\n"
        "print(halfbyte.load(sys.argv[1], threads=1).complete([1, 5], max_tokens=2).tokens)\n"
    )
    command = [sys.executable, "-c", script, str(folder), str(jit.cache_directory())]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outs = [process.communicate()[0] for process in running]
    assert all(process.returncode == 0 for process in running)
    assert sum("once, into" in out for out in outs) == 1
    assert len({out.splitlines()[-1] for out in outs}) == 1
    assert len(_files(models)) == 1 and not list(models.glob("*.part"))


def test_a_type_is_for_folders(tiny_gguf: Path) -> None:
    with pytest.raises(halfbyte.RequestError, match="only a folder"):
        halfbyte.load(tiny_gguf, type="q8_0")


def test_transformers_names_take_a_folder(folder: Path, models: Path) -> None:
    (folder / "generation_config.json").write_text('{"eos_token_id": [2, 5], "max_length": 9}')
    with halfbyte.AutoModelForCausalLM.from_pretrained(folder, dtype="auto") as model:
        assert model.generation_config.eos_token_id == [2, 5]
        assert model.generate([[1, 7]]).shape[1] <= 9
