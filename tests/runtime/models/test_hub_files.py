"""Which files of a repository are fetched, and what is said where none are."""

from __future__ import annotations

import pytest

from halfbyte.errors import DownloadError
from halfbyte.models.entries import HubModel
from halfbyte.models.hub_files import RemoteFile, choose_files


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["pytorch_model.bin", "config.json"], "only pickled weights"),
        (["config.json"], "neither safetensors nor a .gguf"),
        (["sub/model.safetensors"], "neither safetensors nor a .gguf"),
        (["../model.safetensors", "..\\a.gguf", ".a.gguf", "a b.gguf"], "neither safetensors"),
        (
            ["adapter_config.json", "adapter_model.safetensors"],
            "holds an adapter; an adapter is no",
        ),
        (["Q4_0/a-00001-of-00002.gguf"], "only 1 of 2 files of a split model: no Q4_0/a-00002-of"),
        (["Q4_0/a.gguf", "Q8_0/a.gguf"], "name one: org/m:Q4_0/a.gguf, org/m:Q8_0/a.gguf"),
        (["../a.gguf", "a/b/c.gguf", "a/../c.gguf"], "neither safetensors nor a .gguf"),
        ([], "neither safetensors nor a .gguf"),
    ],
)
def test_nothing_to_choose(names: list[str], said: str) -> None:
    listing = [RemoteFile(name, 1, "") for name in names]
    with pytest.raises(DownloadError) as caught:
        choose_files(HubModel("m", "", "org/m"), listing)
    assert said in str(caught.value)


def test_a_file_that_is_named_is_taken_though_an_adapter_lies_beside() -> None:
    listing = [RemoteFile(name, 1, "") for name in ("adapter_config.json", "a.gguf")]
    assert choose_files(HubModel("m", "", "org/m", file="a.gguf"), listing) == listing[1:]


def test_the_root_goes_before_folders_and_safetensors_before_both() -> None:
    def chosen(*names: str) -> list[str]:
        files = choose_files(HubModel("m", "", "org/m"), [RemoteFile(n, 1, "") for n in names])
        return [file.name for file in files]

    shards = ["Q8_0/a-00001-of-00002.gguf", "Q8_0/a-00002-of-00002.gguf"]
    assert chosen(*shards, "README.md") == shards
    assert chosen(*shards, "a.gguf") == ["a.gguf"]
    assert chosen("Q8_0/A.GGUF") == ["Q8_0/A.GGUF"]
    named = ("additional_chat_templates/tool_use.jinja", "model.safetensors")
    assert chosen(*named, "other/a.jinja", "additional_chat_templates/a/b.jinja") == [*named]
    assert chosen(*shards, "a.gguf", "model.safetensors") == ["model.safetensors"]


def test_what_lies_beside_a_model_is_not_fetched() -> None:
    names = ("imatrix.gguf", "m-Q4_0.gguf", "mmproj-m-f16.gguf")
    listing = [RemoteFile(name, 1, "") for name in names]
    assert choose_files(HubModel("m", "", "org/m"), listing) == listing[1:2]
