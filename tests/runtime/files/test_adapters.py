"""Adapters are refused with the way out, wherever a model is looked for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

import halfbyte
from halfbyte import AutoConfig
from halfbyte.errors import ConversionError, ModelFileError

STATED = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 8}


def test_a_folder_with_an_adapter(tiny_folder: Path, tmp_path: Path) -> None:
    bare, beside = tmp_path / "bare", tmp_path / "beside"
    bare.mkdir()
    shutil.copytree(tiny_folder, beside)
    for folder in (bare, beside):
        (folder / "adapter_config.json").write_text(json.dumps(STATED))
        uses = (
            lambda path: halfbyte.convert(path, tmp_path / "x.gguf"),
            halfbyte.load,
            AutoConfig.from_pretrained,
        )
        for use in uses:
            with pytest.raises(
                ConversionError,
                match=r"an adapter of org/base; .*load its base model with",
            ):
                use(folder)
    assert not (tmp_path / "x.gguf").exists()


@pytest.mark.parametrize(("kind", "said"), [
    ("adapter", "general.type: expected model, got adapter; an adapter is no model, but changes"),
    ("mmproj", "general.type: expected model, got mmproj"),
])  # fmt: skip
def test_a_gguf_file_that_is_no_model(tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / "lora.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 16.0)
    for end in "ab":
        writer.add_tensor(f"blk.0.attn_q.weight.lora_{end}", np.zeros((8, 64), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for use in (halfbyte.load, lambda path: halfbyte.convert(path, tmp_path / "x.gguf")):
        with pytest.raises(ModelFileError) as caught:
            use(path)
        assert said in str(caught.value)
