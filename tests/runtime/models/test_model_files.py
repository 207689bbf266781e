"""A model's files in the cache, whole or not."""

from __future__ import annotations

from pathlib import Path

from halfbyte.models.model_files import files_of, model_at


def test_a_model_is_there_when_all_its_files_are(tmp_path: Path) -> None:
    target = tmp_path / "org--m.gguf"
    assert model_at(tmp_path / "none" / target.name) is None
    shards = files_of(tmp_path / "org--m-00002-of-00003.gguf")
    assert [path.name for path in shards] == [f"org--m-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    for name in ("org--m2-00001-of-00001.gguf", "org--m.part", "org--m--a-00001-of-00001.gguf"):
        (tmp_path / name).touch()
    for path in shards:
        assert model_at(target) is model_at(shards[0]) is None
        path.touch()
    assert model_at(target) == model_at(shards[0]) == shards[0]
    (tmp_path / "org--m-00001-of-00002.gguf").touch()  # of another edition, and not whole
    assert model_at(target) == shards[0]
    target.touch()
    assert model_at(target) == target and files_of(target) == [target]
