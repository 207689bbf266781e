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
        (["Q4_0/a-00001-of-00002.gguf"], "download Q4_0/a-00001-of-00002.gguf yourself"),
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
