"""What lies in the cache: listed by name, stamped when used, removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import halfbyte
from halfbyte.errors import RequestError
from halfbyte.models import catalogue, inventory
from halfbyte.models.entries import HubModel, hub_name


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "models"
    folder.mkdir(parents=True)
    return folder


def test_models_have_the_names_that_load_them(models: Path, tiny_gguf: Path) -> None:
    files = ("smollm2-135m-b179c952.gguf", "org--m.gguf", "org--m--a-Q4_0.gguf", "org--m--B.GGUF",
             "codellama--CodeLlama-7b-hf.gguf", "folder-0123456789abcdef.q8_0.gguf")  # fmt: skip
    for name in files:
        (models / name).write_bytes(b"x" * len(name))
    (models / ".org--m.gguf.lock").touch()
    (models / ".hidden.gguf").touch()
    found = {model.name: model for model in inventory.cached_models()}
    converted = models / files[-1]
    assert set(found) == {
        "smollm2-135m", "org/m", "org/m:a-Q4_0.gguf", "org/m:B.GGUF", "codellama-7b", str(converted)
    }  # fmt: skip
    for name, model in found.items():
        entry = catalogue.resolve(name, pull=False) if name != "smollm2-135m" else model.path
        assert entry == model.path and model.nbytes == len(model.path.name)
    assert found["smollm2-135m"].license == "Apache-2.0"
    assert found["codellama-7b"].license == "Llama 2 Community License"
    assert found["org/m"].license == ""  # damaged, yet listed


def test_the_file_says_its_license(models: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(models / "org--m.gguf", "llama")
    writer.add_license("mit")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert [model.license for model in inventory.cached_models()] == ["mit"]


def test_loading_is_use_and_looking_is_not(models: Path, tiny_gguf: Path) -> None:
    path = models / "org--m.gguf"
    path.write_bytes(tiny_gguf.read_bytes())
    catalogue.resolve("org/m", pull=False)
    assert [model.last_used for model in inventory.cached_models()] == [None]
    halfbyte.load("org/m", threads=1).close()
    stamp = models / ".org--m.gguf.used"
    os.utime(stamp, (1e9, 1e9))
    assert [model.last_used for model in inventory.cached_models()] == [1e9]
    halfbyte.load("org/m", threads=1).close()
    (model,) = inventory.cached_models()
    assert time.time() - (model.last_used or 0) < 600


def test_a_model_is_removed_with_what_belongs_to_it(models: Path) -> None:
    (models / "org--m.gguf").touch()
    (models / "org--other.gguf").touch()
    inventory.stamp(models / "org--m.gguf")
    (models / ".org--m.gguf.0123456789ab.download").mkdir()
    assert inventory.remove("org/m").name == "org/m"
    assert [path.name for path in models.iterdir()] == ["org--other.gguf"]
    with pytest.raises(RequestError, match="it holds org/other"):
        inventory.remove("org/m")
    inventory.remove(str(models / "org--other.gguf"))
    assert not list(models.iterdir())


@pytest.mark.parametrize("name", ["../x.gguf", "infill-10m", "/etc/passwd", ""])
def test_nothing_else_is_removed(models: Path, name: str) -> None:
    (models.parent / "x.gguf").touch()
    with pytest.raises(RequestError, match="a model of the cache"):
        inventory.remove(name)
    assert (models.parent / "x.gguf").exists()


def test_a_file_elsewhere_is_not_stamped(tmp_path: Path) -> None:
    inventory.stamp(tmp_path / "a.gguf")
    assert not list(tmp_path.glob(".a*"))


@pytest.mark.parametrize(
    ("repo", "file"), [("a/b", ""), ("a/b", "c.gguf"), ("a-x/b-y", "c--d.gguf")]
)
def test_no_two_names_share_a_file(repo: str, file: str) -> None:
    entry = HubModel("n", "", repo, file)
    assert hub_name(entry.file_name) == (f"{repo}:{file}" if file else repo)


@pytest.mark.parametrize("name", ["a/b--c.x", "a--b/c", "a/b..c", "a-/b", "a/b-", "a/b-:c.gguf"])
def test_names_that_would_share_one_are_refused(name: str) -> None:
    with pytest.raises(RequestError, match="without -- and"):
        catalogue.find(name)
