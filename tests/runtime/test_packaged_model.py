"""The model that comes with the package: what it is, where it lies, and that it can be remade."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import gguf
import pytest

import halfbyte
from halfbyte.errors import ModelFileError
from halfbyte.models import catalogue
from halfbyte.models.entries import CATALOGUE, PackagedModel
from halfbyte.prompt.infill import require_format
from halfbyte.verification import verify

NAME = "infill-10m"
FILE = Path(halfbyte.__file__).parent / "data" / "infill-10m.gguf"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection, and no name looked up for one."""

    def connect(*args: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("HALFBYTE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_catalogue_lists_it() -> None:
    (entry,) = (e for e in CATALOGUE if isinstance(e, PackagedModel))
    assert catalogue.find("INFILL-10M") is entry
    assert (entry.name, entry.license) == (NAME, "Apache-2.0")
    assert catalogue.cached_path(entry) == FILE and catalogue.is_cached(entry)
    assert FILE.with_suffix(".md").is_file()


def test_it_is_found_without_a_cache_or_a_network(cache: Path, no_network: None) -> None:
    assert catalogue.resolve(NAME) == FILE
    assert catalogue.resolve(NAME, pull=False) == FILE
    assert catalogue.pull(NAME) == FILE
    assert catalogue.pull(NAME, force=True) == FILE
    assert not (cache / "models").exists()


def test_it_loads_by_its_name(no_network: None) -> None:
    with halfbyte.load(NAME, threads=1) as model:
        assert model.path == str(FILE)
        assert (model.config.dim, model.config.vocab_size, model.n_ctx) == (256, 8016, 512)
        assert require_format(model.tokenizer).family.name == "Code Llama"


def test_a_broken_installation_says_so(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "_DATA", tmp_path)
    for call in (catalogue.pull, catalogue.resolve):
        with pytest.raises(ModelFileError, match="install it again") as caught:
            call(NAME)
        assert caught.value.path == str(tmp_path / "infill-10m.gguf")


def test_the_file_says_what_it_is() -> None:
    fields = gguf.GGUFReader(FILE).fields
    assert fields["general.name"].contents() == NAME
    assert fields["general.architecture"].contents() == "llama"
    assert fields["llama.rope.freq_base"].contents() == 1e6
    ids = {
        name: fields[f"tokenizer.ggml.{name}_token_id"].contents()
        for name in ("fim_pre", "fim_suf", "fim_mid", "eot", "bos", "eos")
    }
    assert list(ids.values()) == [8007, 8008, 8009, 8010, 1, 2]


def test_converting_it_again_gives_the_same(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data" / "models" / NAME
    halfbyte.convert(source, tmp_path / "again.gguf", type="q8_0")
    again, packaged = (gguf.GGUFReader(path) for path in (tmp_path / "again.gguf", FILE))
    for a, b in zip(again.tensors, packaged.tensors, strict=True):
        assert a.name == b.name and (a.data == b.data).all()
    assert list(again.fields) == list(packaged.fields)
    for key, field in packaged.fields.items():
        value, expected = again.fields[key].contents(), field.contents()
        if key.startswith("halfbyte.quality.") and "sha256" not in key:
            assert value == pytest.approx(expected, rel=1e-3)  # NumPy's sums depend on the machine
        else:
            assert value == expected


def test_it_verifies_itself() -> None:
    checks = verify(FILE, threads=1)
    assert [check.is_same for check in checks] == [True] * 4


def test_its_tokenizer_is_that_of_its_source(shared_dir: Path, vocabularies: Any) -> None:
    ours = vocabularies.packaged_model()
    source = vocabularies.read_model(shared_dir / "data" / "models" / NAME / "tokenizer.model")
    assert [(p.piece, p.score, p.type) for p in ours.pieces] == [
        (p.piece, p.score, p.type) for p in source.pieces
    ]
    theirs = vocabularies.processor(source, dummy_prefix=True)
    tokenizer = halfbyte.Tokenizer.from_path(FILE)
    for text in ("def f(x):\n    return x\n", " <EOT>", "日本", "", "  "):
        ids = tokenizer.encode(text, add_bos=False, parse_markers=True)
        assert ids == theirs.encode(text)
