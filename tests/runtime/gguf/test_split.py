"""Models in several files, as the `gguf` package writes them: whole, or an error that says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

import halfbyte
from halfbyte.errors import ModelFileError
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.split import model_file
from tests.gguf_copies import copy_keys, write


@pytest.fixture
def shards(tiny_gguf: Path, tmp_path: Path, split: Callable[..., list[Path]]) -> list[Path]:
    """The tiny model in four files."""
    paths = split(tiny_gguf, tmp_path, 6)
    assert [path.name for path in paths] == [
        f"tiny-q8_0-0000{i}-of-00004.gguf" for i in range(1, 5)
    ]
    return paths


def change(path: Path, values: dict[str, int | None]) -> None:
    """Write a shard anew with other metadata."""
    reader = gguf.GGUFReader(path)
    writer = gguf.GGUFWriter(path.with_suffix(".new"), "llama")
    copy_keys(reader, writer, values)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data), raw_dtype=tensor.tensor_type)
    write(writer)
    path.with_suffix(".new").replace(path)


@pytest.mark.parametrize("options", [{}, {"small_first_shard": True}])
def test_the_shards_are_the_whole(
    tiny_gguf: Path, tmp_path: Path, split: Callable[..., list[Path]], options: dict[str, bool]
) -> None:
    paths = split(tiny_gguf, tmp_path, 6, **options)
    assert len(paths) >= 4
    with GGUFFile.open(tiny_gguf) as whole:
        expected = {name: whole.data(name).tobytes() for name in whole.tensors}
        for path in paths:
            with GGUFFile.open(path) as file:
                assert file.path == str(path)
                assert {name: file.data(name).tobytes() for name in file.tensors} == expected
                assert [*file.tensors] == [*whole.tensors]
                assert file.paths == [str(path) for path in paths]
                assert file.nbytes == sum(path.stat().st_size for path in paths)
                assert set(whole.metadata) <= set(file.metadata)
        assert [key for key in file.metadata if key not in whole.metadata] == [
            "split.no", "split.count", "split.tensors.count"
        ]  # fmt: skip


def test_any_shard_and_the_folder_load(tiny_gguf: Path, shards: list[Path]) -> None:
    with halfbyte.load(tiny_gguf) as model:
        expected = model.logits([1, 5, 9])
    for path in (shards[0], shards[2], shards[0].parent):
        with halfbyte.load(path) as model:
            assert (model.logits([1, 5, 9]) == expected).all()


def test_missing_shards_are_named(shards: list[Path]) -> None:
    shards[1].unlink()
    for path in (shards[0], shards[3], shards[0].parent):
        with pytest.raises(ModelFileError, match=r"got no tiny-q8_0-00002-of-00004\.gguf; fetch"):
            halfbyte.load(path)
    shards[0].unlink()
    for path in (shards[3], shards[0].parent):
        with pytest.raises(
            ModelFileError, match=r"no tiny-q8_0-00001-of-00004\.gguf, tiny-q8_0-00"
        ):
            halfbyte.load(path)


def test_a_name_that_was_changed_is_asked_back(shards: list[Path]) -> None:
    for name in ("other.gguf", "tiny-q8_0-00001-of-00009.gguf", "tiny-q8_0-00003-of-00004.gguf"):
        with pytest.raises(ModelFileError, match=r"expected NAME-00002-of-00004\.gguf"):
            GGUFFile.open(shards[1].rename(shards[1].with_name(name)))
        shutil.move(shards[1].with_name(name), shards[1])


@pytest.mark.parametrize(("values", "said"), [
    ({"split.no": 0}, "split.no: expected 2, got 0"),
    ({"split.no": None}, "split.no: expected a whole number, got no such key"),
    ({"split.count": 5}, "split.count: expected 4, got 5"),
    ({"split.count": None}, "split.count: expected a whole number, got no such key"),
    ({"split.tensors.count": 22}, "split.tensors.count: expected the 21 of all files, got 22"),
])  # fmt: skip
def test_shards_that_do_not_belong_together(
    shards: list[Path], values: dict[str, int | None], said: str
) -> None:
    change(shards[2], values)
    with pytest.raises(ModelFileError) as caught:
        GGUFFile.open(shards[0])
    assert said in str(caught.value)
    assert caught.value.path == str(shards[2])


def test_no_tensor_comes_twice(shards: list[Path]) -> None:
    shutil.copy(shards[1], shards[2])
    change(shards[2], {"split.no": 2})
    with pytest.raises(
        ModelFileError, match="expected it once, got it in tiny-q8_0-00002-of-00004"
    ):
        GGUFFile.open(shards[0])


def test_a_broken_shard_is_named(shards: list[Path]) -> None:
    shards[3].write_bytes(shards[3].read_bytes()[:-100])
    with pytest.raises(ModelFileError, match="cut short") as caught:
        GGUFFile.open(shards[0])
    assert caught.value.path == str(shards[3])


@pytest.mark.parametrize("count", [0, 1])
def test_a_merged_file_is_whole(shards: list[Path], count: int, tmp_path: Path) -> None:
    (tmp_path / "merged").mkdir()
    path = shards[0].rename(tmp_path / "merged" / "x.gguf")
    change(path, {"split.count": count})
    with GGUFFile.open(path) as file:
        assert file.paths == [str(path)]


def test_a_folder_of_one_model(shards: list[Path], tiny_gguf: Path, tmp_path: Path) -> None:
    folder = shards[0].parent
    assert model_file(folder) == shards[0]
    for path in (shards[2], tmp_path / "absent"):
        assert model_file(path) == path
    shutil.copy(tiny_gguf, folder / "whole.gguf")
    with pytest.raises(
        ModelFileError, match=r"got tiny-q8_0-00001-of-00004\.gguf, whole\.gguf; name"
    ):
        model_file(folder)
    (folder / "model.safetensors").touch()
    assert model_file(folder) == folder
