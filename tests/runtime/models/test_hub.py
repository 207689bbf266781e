"""halfbyte.models.hub against a hub of our own on 127.0.0.1."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.conversion import plan_conversion
from halfbyte.converting.options import Options
from halfbyte.errors import ConversionError, DownloadError, MissingFileError
from halfbyte.models import catalogue, inventory
from halfbyte.models.cache import os_errors

GGUF = b"GGUF" + bytes(range(256)) * 4000
FOLDER = {
    "README.md": b"# model",
    ".gitattributes": b"",
    "config.json": b"{}",
    "model.safetensors.index.json": b"{}",
    "model-00001-of-00002.safetensors": b"1" * 70_000,
    "model-00002-of-00002.safetensors": b"2" * 70_000,
    "consolidated.safetensors": b"3" * 70_000,
    "pytorch_model.bin": b"4" * 70_000,
    "tokenizer.model": b"5" * 500,
    "original/params.json": b"{}",
}
WANTED = [
    "config.json",
    "model.safetensors.index.json",
    "tokenizer.model",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
]


class Converter:
    """Stands in for convert_path: writes what it was given."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], str, bool]] = []
        self.error: BaseException | None = None

    def __call__(
        self,
        src: Path,
        dst: Path,
        options: Options,
        *,
        progress: Any,
    ) -> None:
        assert not str(options.name).startswith(".") and not options.measure
        names = sorted(path.name for path in Path(src).iterdir() if path.is_file())
        self.calls.append((names, options.type, options.force))
        if self.error is not None:
            raise self.error
        Path(dst).write_bytes(b"converted")


@pytest.fixture
def converter(monkeypatch: pytest.MonkeyPatch) -> Converter:
    fake = Converter()
    monkeypatch.setattr("halfbyte.converting.convert.convert_path", fake)
    return fake


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def server(hub_server: Any, models: Path) -> Any:
    pytest.importorskip("huggingface_hub")
    return hub_server


def visible(models: Path) -> list[str]:
    return sorted(path.name for path in models.iterdir())


def test_one_gguf(server: Any, models: Path) -> None:
    server.repositories["org/m2"] = server.Repository({"A.GGUF": GGUF})
    assert catalogue.pull("org/m2").read_bytes() == GGUF
    server.requests.clear()
    (models / "org--m2.gguf").unlink()
    server.repositories["org/m"] = server.Repository({"a.gguf": GGUF, "README.md": b""})
    stages: list[tuple[str, int, int]] = []
    path = catalogue.pull("org/m", progress=lambda *now: stages.append(now))
    assert path == models / "org--m.gguf"
    assert path.read_bytes() == GGUF
    assert visible(models) == ["org--m.gguf"]
    assert server.fetched() == ["a.gguf"]
    assert stages[-1] == ("download org/m", len(GGUF), len(GGUF))
    n_requests = len(server.requests)
    assert catalogue.pull("org/m") == catalogue.resolve("org/m") == path
    assert len(server.requests) == n_requests
    catalogue.pull("org/m", force=True)
    assert server.fetched() == ["a.gguf", "a.gguf"]


def test_one_of_several_gguf(server: Any, models: Path) -> None:
    files = {"a-Q4_0.gguf": GGUF, "a-Q8_0.gguf": GGUF * 2}
    server.repositories["org/m"] = server.Repository(files)
    with pytest.raises(DownloadError, match=r"name one: org/m:a-Q4_0\.gguf, org/m:a-Q8_0\.gguf"):
        catalogue.pull("org/m")
    path = catalogue.pull("org/m:a-Q8_0.gguf")
    assert path.name == "org--m--a-Q8_0.gguf"
    assert path.read_bytes() == GGUF * 2
    with pytest.raises(DownloadError, match=r"has no file b\.gguf"):
        catalogue.pull("org/m:b.gguf")


@pytest.fixture
def shards(tiny_gguf: Path, tmp_path: Path, split: Callable[..., list[Path]]) -> dict[str, bytes]:
    """A split model's files, as a repository has them."""
    return {path.name: path.read_bytes() for path in split(tiny_gguf, tmp_path, 6)}


def test_a_split_model_is_whole(
    server: Any, models: Path, shards: dict[str, bytes], tiny_gguf: Path
) -> None:
    server.repositories["org/m"] = server.Repository({**shards, "README.md": b""})
    path = catalogue.pull("org/m")
    names = [f"org--m-0000{i}-of-00004.gguf" for i in range(1, 5)]
    assert path == models / names[0] and visible(models) == names
    assert server.fetched() == [*shards]
    n_requests = len(server.requests)
    assert catalogue.pull("org/m") == catalogue.resolve("org/m") == path
    assert len(server.requests) == n_requests
    with halfbyte.load("org/m") as model, halfbyte.load(tiny_gguf) as whole:
        assert (model.logits([1, 5, 9]) == whole.logits([1, 5, 9])).all()
    (known,) = inventory.cached_models()
    assert (known.name, known.path) == ("org/m", path)
    assert known.nbytes == sum(map(len, shards.values()))
    (models / names[2]).unlink()
    assert not catalogue.is_cached(catalogue.find("org/m"))
    assert catalogue.resolve("org/m") == path and visible(models)[1:] == names
    inventory.remove("org/m")
    assert visible(models) == []


def test_a_file_of_a_split_model_names_all(
    server: Any, models: Path, shards: dict[str, bytes]
) -> None:
    server.repositories["org/m"] = server.Repository({**shards, "other-Q4_0.gguf": GGUF})
    offered = r"name one: org/m:other-Q4_0\.gguf, org/m:tiny-q8_0-00001-of-00004\.gguf$"
    with pytest.raises(DownloadError, match=offered):
        catalogue.pull("org/m")
    path = catalogue.pull("org/m:tiny-q8_0-00003-of-00004.gguf")
    names = [f"org--m--{name}" for name in shards]
    assert path == models / names[0] and visible(models) == names
    assert catalogue.resolve("org/m:tiny-q8_0-00002-of-00004.gguf", pull=False) == path
    (known,) = inventory.cached_models()
    assert known.name == "org/m:tiny-q8_0-00001-of-00004.gguf"
    assert catalogue.resolve(known.name, pull=False) == path


def test_a_split_model_of_a_folder(
    server: Any, models: Path, shards: dict[str, bytes], tiny_gguf: Path
) -> None:
    files = {f"Q8_0/{name}": data for name, data in shards.items()}
    server.repositories["org/m"] = server.Repository({**files, "Q4_0/tiny.gguf": GGUF})
    name = "org/m:Q8_0/tiny-q8_0-00002-of-00004.gguf"
    with halfbyte.load(name) as model, halfbyte.load(tiny_gguf) as whole:
        assert (model.logits([1, 5, 9]) == whole.logits([1, 5, 9])).all()
    assert visible(models)[1:] == [f"org--m--Q8_0+{file}" for file in shards]
    (known,) = inventory.cached_models()
    assert known.name == "org/m:Q8_0/tiny-q8_0-00001-of-00004.gguf"
    assert catalogue.resolve(known.name, pull=False) == known.path
    assert catalogue.pull("org/m:Q4_0/tiny.gguf").read_bytes() == GGUF


def test_a_split_model_takes_the_place_of_a_whole_one(
    server: Any, models: Path, shards: dict[str, bytes]
) -> None:
    repository = server.repositories["org/m"] = server.Repository({"a.gguf": GGUF})
    catalogue.pull("org/m")
    repository.files = shards
    catalogue.pull("org/m", force=True)
    assert visible(models) == [f"org--m-0000{i}-of-00004.gguf" for i in range(1, 5)]
    repository.files = {"a.gguf": GGUF}
    catalogue.pull("org/m", force=True)
    assert visible(models) == ["org--m.gguf"]


def test_shards_that_lack_or_do_not_belong(
    server: Any, models: Path, shards: dict[str, bytes]
) -> None:
    repository = server.repositories["org/m"] = server.Repository(dict(shards))
    names = [*shards]
    repository.files[names[3]] = shards[names[2]]
    with pytest.raises(DownloadError, match=r"00004-of-00004\.gguf: split\.no: expected 3, got 2"):
        catalogue.pull("org/m")
    del repository.files[names[1]]
    with pytest.raises(DownloadError, match=rf"has only 3 of 4 .*: no {names[1]}"):
        catalogue.pull("org/m")
    assert not list(models.glob("*.gguf"))


def test_a_split_model_is_converted_by_name(
    server: Any, models: Path, shards: dict[str, bytes], tiny_gguf: Path, tmp_path: Path
) -> None:
    server.repositories["org/m"] = server.Repository(shards)
    made = [
        halfbyte.convert(source, tmp_path / name, type="q4_0", measure=False, name="m").path
        for source, name in (("org/m", "a"), (tiny_gguf, "b"))
    ]
    assert Path(made[0]).read_bytes() == Path(made[1]).read_bytes()
    assert visible(models) == []


def test_safetensors_are_converted(server: Any, models: Path, converter: Converter) -> None:
    server.repositories["org/m"] = server.Repository(FOLDER)
    path = catalogue.pull("org/m")
    assert path.read_bytes() == b"converted"
    assert converter.calls == [(sorted(WANTED), "q8_0", True)]
    assert server.fetched() == WANTED
    assert visible(models) == ["org--m.gguf"]


def test_a_folder_of_the_hub_loads_by_name(server: Any, models: Path, tiny_folder: Path) -> None:
    files = {path.name: path.read_bytes() for path in tiny_folder.iterdir()}
    server.repositories["org/Tiny-hf"] = server.Repository(files)
    with halfbyte.load("org/Tiny-hf") as model:
        assert model.config.name == "Tiny-hf"
        assert model.path == str(models / "org--Tiny-hf.gguf")
        assert len(model.complete([1, 5], max_tokens=3, stop_tokens=[]).tokens) <= 3


def test_a_folder_of_the_hub_is_converted_by_name(
    server: Any, models: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in tiny_folder.iterdir()}
    server.repositories["org/Tiny-hf"] = server.Repository(files)
    with pytest.raises(DownloadError, match="not in"):  # a dry run fetches nothing
        plan_conversion("org/Tiny-hf", type="q4_0")
    report = halfbyte.convert("org/Tiny-hf", tmp_path / "x.gguf", type="q4_0", measure=False)
    with halfbyte.load(report.path) as model:
        assert model.config.name == "Tiny-hf"
    assert visible(models) == [] and not list(models.glob(".*.download"))


def test_a_catalogue_name(server: Any, models: Path, converter: Converter) -> None:
    server.repositories["codellama/CodeLlama-7b-Python-hf"] = server.Repository(FOLDER)
    assert catalogue.resolve("codellama-7b-python").name == "codellama--CodeLlama-7b-Python-hf.gguf"


def test_files_of_the_listed_commit_are_asked_for(server: Any, models: Path) -> None:
    commit = "f" * 40
    server.repositories["org/m"] = server.Repository({"a.gguf": GGUF}, commit=commit)
    catalogue.pull("org/m")
    assert {path for _, path, _ in server.requests if "resolve" in path} == {
        f"/org/m/resolve/{commit}/a.gguf"
    }


@pytest.mark.parametrize("served", [GGUF[:-1] + b"?", GGUF[:-1], GGUF + b"?"])
def test_another_content_than_listed(server: Any, models: Path, served: bytes) -> None:
    repository = server.Repository({"a.gguf": GGUF}, served={"a.gguf": served})
    server.repositories["org/m"] = repository
    with pytest.raises(DownloadError, match=r"org/m: a\.gguf: expected|consisten"):
        catalogue.pull("org/m")
    assert not (models / "org--m.gguf").exists()
    repository.served.clear()
    assert catalogue.pull("org/m").read_bytes() == GGUF


def test_a_small_file_of_another_size(server: Any, models: Path, converter: Converter) -> None:
    # Kept in git itself, so the hub states no SHA-256 for it.
    server.repositories["org/m"] = server.Repository(FOLDER, served={"config.json": b"{ }"})
    with pytest.raises(DownloadError, match=r"config\.json: expected 2 bytes, got 3"):
        catalogue.pull("org/m")
    assert converter.calls == []


def test_an_interrupted_download_is_taken_up(
    server: Any, models: Path, converter: Converter, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    server.repositories["org/m"] = server.Repository(FOLDER)
    plain = huggingface_hub.hf_hub_download

    def interrupted(repo: str, name: str, **kwargs: Any) -> Any:
        if name == WANTED[-1]:
            raise KeyboardInterrupt
        return plain(repo, name, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(huggingface_hub, "hf_hub_download", interrupted)
        with pytest.raises(KeyboardInterrupt):
            catalogue.pull("org/m")
    assert [name for name in visible(models) if not name.startswith(".")] == []
    assert catalogue.pull("org/m").read_bytes() == b"converted"
    assert server.fetched() == WANTED  # none of them twice
    assert visible(models) == ["org--m.gguf"]


def test_what_was_begun_of_another_commit_is_removed(server: Any, models: Path) -> None:
    old = models / ".org--m.gguf.aaaaaaaaaaaa.download"
    old.mkdir(parents=True)
    server.repositories["org/m"] = server.Repository({"a.gguf": GGUF})
    catalogue.pull("org/m")
    assert visible(models) == ["org--m.gguf"]


@pytest.mark.parametrize("error", [ConversionError("x", "y"), KeyboardInterrupt(), OSError("z")])
def test_a_failed_conversion(
    server: Any, models: Path, converter: Converter, error: BaseException
) -> None:
    server.repositories["org/m"] = server.Repository(FOLDER)
    converter.error = error
    expected = DownloadError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        catalogue.pull("org/m")
    assert not (models / "org--m.gguf").exists()


def test_no_such_repository(server: Any, models: Path) -> None:
    with pytest.raises(DownloadError, match="org/m: the hub's client says: "):
        catalogue.resolve("org/m")


def test_no_server(server: Any, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DownloadError, match="the hub's client says"):
        catalogue.pull("org/m")


def test_a_commit_that_is_no_hash(server: Any, models: Path) -> None:
    server.repositories["org/m"] = server.Repository({"a.gguf": GGUF}, commit="../../x")
    with pytest.raises(DownloadError, match="expected a commit's hash"):
        catalogue.pull("org/m")


def test_without_the_client(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DownloadError, match=r"pip install 'halfbyte\[hub\]'"):
        catalogue.pull("codellama-7b")


def test_a_file_that_is_no_gguf_is_not_kept(server: Any, models: Path) -> None:
    page = b"<html>" + GGUF
    server.repositories["org/m"] = server.Repository({"a.gguf": page})
    with pytest.raises(DownloadError, match=r"a\.gguf: expected a GGUF file, got one that begins"):
        catalogue.pull("org/m")
    assert not list(models.rglob("*.gguf"))
    server.repositories["org/m"] = server.Repository({"a.gguf": GGUF})
    assert catalogue.pull("org/m").read_bytes() == GGUF


def test_a_client_that_writes_nothing(
    server: Any, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    server.repositories["org/m"] = server.Repository({"a.gguf": GGUF})
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: "a.gguf")
    with pytest.raises(DownloadError, match=r"org/m: a\.gguf: the hub's client left no file"):
        catalogue.pull("org/m")


def test_without_a_network_the_way_out_is_told(
    server: Any, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(DownloadError, match=r"needs the network, once.*halfbyte convert FOLDER"):
        catalogue.resolve("codellama-7b")


def test_the_hub_says_how_much_there_is_to_fetch(server: Any, models: Path) -> None:
    server.repositories["org/m"] = server.Repository(FOLDER)
    entry = catalogue.find("org/m")
    assert catalogue.size(entry) == 0
    assert catalogue.size(entry, asks=True) == sum(len(FOLDER[name]) for name in WANTED)
    assert server.fetched() == [] and not models.exists()


def test_errors_of_the_system_are_the_downloads_but_ours_stay() -> None:
    with pytest.raises(DownloadError, match="name: the disk is full"), os_errors("name"):
        raise OSError("the disk is full")
    with pytest.raises(MissingFileError), os_errors("name"):
        raise MissingFileError("tokenizer.model", expected="a tokenizer")
