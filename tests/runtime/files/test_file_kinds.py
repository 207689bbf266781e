"""What files are, told by how they begin, and where that is said."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import halfbyte
from halfbyte.converting.sources.source import open_source
from halfbyte.errors import ConversionError, HalfbyteError, ModelFileError
from halfbyte.files.file_kinds import is_gguf, is_json, kind_of
from halfbyte.tokenizer import Tokenizer

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("x.gguf", POINTER, "Git LFS pointer"),
        ("x.gguf", b"", "an empty file"),
        ("x", b"GGUF\3\0\0\0", "a GGUF file"),
        ("x.bin", b"tjgg\1\0\0\0", "ggjt"),
        ("pytorch_model.bin", b"PK\3\4\0", "zip archive"),
        ("pytorch_model.bin", b"\x80\2\x8a\n", "pickle"),
        ("tf_model.h5", b"\x89HDF\r\n", "HDF5"),
        ("flax_model.msgpack", b"\x81\xa5", "Flax"),
        ("model.onnx", b"\x08\x08", "ONNX"),
        ("x.gguf", b"\n <!DOCTYPE html><title>Sign in", "a web page"),
        ("x", b"IQ== 0\nIg== 1\n", "tiktoken"),
        ("model.safetensors.incomplete", b"\1\2", "not come to its end"),
        ("x", b"\0" * 9000, "zeros"),
    ],
)
def test_kinds(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    (tmp_path / name).write_bytes(content)
    kind = kind_of(tmp_path / name)
    assert what in kind.what and kind.hint


def test_what_nobody_knows_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\1\2\3")
    for path in (tmp_path / "x", tmp_path, tmp_path / "none"):
        assert not kind_of(path).what
    save_file({"x": np.zeros(3, np.float32)}, tmp_path / "model")
    assert kind_of(tmp_path / "model").what == "a safetensors file"


def test_gguf_is_what_begins_as_gguf_or_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "sha256-0a").write_bytes(b"GGUF")
    (tmp_path / "folder.gguf").mkdir()
    assert is_gguf(tmp_path / "sha256-0a") and is_gguf("none.GGUF") and is_gguf("none.gguf")
    assert not is_gguf(tmp_path / "folder.gguf") and not is_gguf(tmp_path / "none")
    (tmp_path / "vocabulary").write_bytes(b' \n{"model": 1}')
    assert is_json(tmp_path / "vocabulary") and is_json("none.JSON")
    assert not is_json(tmp_path / "sha256-0a")


@pytest.mark.parametrize("name", ["X.GGUF", "sha256-0a1b2c", "no ending"])
def test_a_gguf_file_of_any_name(tiny_gguf: Path, tmp_path: Path, name: str) -> None:
    """Loaded, converted, and read for its tokenizer."""
    path = shutil.copy(tiny_gguf, tmp_path / name)
    halfbyte.convert(path, tmp_path / "out.gguf", type="q4_0", measure=False)
    expected = Tokenizer.from_path(tiny_gguf).encode("a b c")
    assert Tokenizer.from_path(path).encode("a b c") == expected
    tokenizer = halfbyte.AutoTokenizer.from_pretrained(str(path))
    assert tokenizer("a b c")["input_ids"] == expected
    with halfbyte.load(path, threads=1) as model:
        assert model.tokenizer.encode("a b c") == expected


def test_a_name_in_capitals_is_no_models_name() -> None:
    for name in ("Missing.GGUF", "a/b.GGUF"):
        with pytest.raises(ModelFileError, match="nothing there"):
            halfbyte.load(name)


Reader = Callable[[Path], object]


@pytest.mark.parametrize("content", [POINTER, b"", b"<html>"], ids=["pointer", "empty", "page"])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("config.json", open_source),
        ("model.safetensors", open_source),
        ("tokenizer.model", open_source),
        ("tokenizer.model", Tokenizer.from_path),
        ("config.json", halfbyte.load),
        ("tokenizer.model", halfbyte.AutoTokenizer.from_pretrained),
    ],
)
def test_each_file_of_a_folder_says_what_it_is(
    tiny_folder: Path, tmp_path: Path, name: str, read: Reader, content: bytes,
) -> None:  # fmt: skip
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "hf"))
    (folder / name).write_bytes(content)
    with pytest.raises(HalfbyteError) as caught:
        read(folder)
    assert kind_of(folder / name).what in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize("content", [POINTER, b"<html>", b"PK\3\4____"])
def test_a_gguf_file_that_is_none_says_what_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    for read in (halfbyte.load, open_source, Tokenizer.from_path):
        with pytest.raises(ModelFileError) as caught:
            read(path)
        assert kind_of(path).what in str(caught.value)
        assert kind_of(path).hint in str(caught.value)


def test_a_file_where_a_folder_belongs(tiny_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="name the folder"):
        open_source(tiny_folder / "model.safetensors")
    (tmp_path / "x").write_text(json.dumps({}))
    with pytest.raises(ConversionError, match=r"folder or a \.gguf file"):
        open_source(tmp_path / "x")


@pytest.mark.parametrize("name", ["qwen.tiktoken", "vocab.json"])
def test_tokenizers_of_other_kinds(tiny_folder: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "hf"))
    (folder / "tokenizer.model").rename(folder / name)
    with pytest.raises(ConversionError, match="got neither") as caught:
        open_source(folder)
    assert "tokenizer.json" in caught.value.hint
