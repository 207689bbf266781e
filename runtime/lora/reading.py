"""`read_adapter`: from a path to an adapter that fits its model."""

from __future__ import annotations

from pathlib import Path

from halfbyte.errors import MissingFileError, ModelFileError
from halfbyte.families.config import ModelConfig
from halfbyte.files.adapters import ADAPTER_FILE
from halfbyte.files.file_kinds import is_gguf, refused
from halfbyte.lora.adapter import Adapter
from halfbyte.lora.gguf_adapter import read_gguf_adapter
from halfbyte.lora.peft_folder import is_peft_folder, read_peft_folder

_EXPECTED = f"a folder with {ADAPTER_FILE}, or a .gguf adapter"


def read_adapter(path: Path, config: ModelConfig) -> Adapter:
    """An adapter, all of whose tensors are used and fit the model.

    Args:
        path: a folder of peft, or a .gguf file.
        config: the model's.

    Raises:
        MissingFileError: nothing lies there.
        UnsupportedModelError: it computes what is not computed here, as DoRA.
        ModelFileError: it is none, broken, or does not fit the model.
    """
    if not path.exists():
        raise MissingFileError(path, expected=_EXPECTED, got="nothing")
    if path.is_dir():
        if not is_peft_folder(path):
            raise ModelFileError(path, expected=_EXPECTED, got="another folder")
        return read_peft_folder(path, config)
    if not is_gguf(path):
        raise refused(ModelFileError, path, expected=_EXPECTED, got="another file")
    return read_gguf_adapter(path, config)
