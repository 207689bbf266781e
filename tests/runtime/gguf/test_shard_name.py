"""Names of shards, and which models a list of names has."""

from __future__ import annotations

import pytest

from halfbyte.gguf.shard_name import ShardName, main_models, models_among, shards_of, without_number


def test_a_shards_name_names_its_siblings() -> None:
    expected = ["a-b-00001-of-00003.gguf", "a-b-00002-of-00003.gguf", "a-b-00003-of-00003.gguf"]
    for name in expected:
        assert shards_of(name) == expected
        assert without_number(name) == "a-b"
    assert ShardName.of(expected[1]) == ShardName("a-b", 2, 3)
    assert shards_of("X-00002-of-00002.GGUF") == ["X-00001-of-00002.GGUF", "X-00002-of-00002.GGUF"]


@pytest.mark.parametrize("name", [
    "a.gguf", "a-00000-of-00003.gguf", "a-00004-of-00003.gguf", "a-1-of-3.gguf", "-00001-of-00003",
    "-00001-of-00003.gguf", "a-00001-of-00003.gguf.part", "a-٠٠٠٠١-of-00003.gguf", "",
])  # fmt: skip
def test_other_names_stand_for_themselves(name: str) -> None:
    assert ShardName.of(name) is None
    assert shards_of(name) == [name]


def test_a_split_model_is_one_model() -> None:
    names = ["b-00002-of-00002.gguf", "b-00001-of-00002.gguf", "c-00002-of-00002.gguf", "a.gguf",
             "b-00001-of-00003.gguf", "README.md"]  # fmt: skip
    assert models_among(names) == [
        "a.gguf", "b-00001-of-00002.gguf", "b-00001-of-00003.gguf", "c-00001-of-00002.gguf"
    ]  # fmt: skip
    assert models_among([]) == []


def test_what_lies_beside_a_model_is_none() -> None:
    beside = ["mmproj-F16.gguf", "q/m-mmproj-f16.gguf", "imatrix.gguf", "imatrix_unsloth.GGUF"]
    models = ["m-imatrix-Q4_K_M.gguf", "mmprojector.gguf"]
    assert main_models([*beside, *models]) == models
    assert main_models(beside) == sorted(beside)
