"""The weights of a Hugging Face folder, whichever file they lie in."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from halfbyte.converting.sources.folder_contents import contents_of
from halfbyte.converting.sources.safetensors_file import SafetensorsFile, StoredTensor
from halfbyte.errors import ConversionError
from halfbyte.files.adapters import refuse_adapter
from halfbyte.files.json_folder import JSONFolder

log = logging.getLogger(__name__)

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"


class HFFolder(JSONFolder):
    """A folder with weights. `config` is config.json; `tensors` are lazy.

    Raises:
        ConversionError: a file is missing, broken, or points outside the folder.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        refuse_adapter(self)
        self.config = self.read_json("config.json")
        if self.config is None:
            found = contents_of(path)
            raise ConversionError(
                path, "config.json", expected="a file", got=found.what, hint=found.hint
            )
        self.files: list[SafetensorsFile] = []
        self.tensors: dict[str, StoredTensor] = {}
        try:
            for name in self._weight_files():
                self._open(path / name)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files of weights."""
        for file in self.files:
            file.close()

    def _open(self, path: Path) -> None:
        file = SafetensorsFile(path)
        self.files.append(file)
        for name, tensor in file.tensors.items():
            if name in self.tensors:
                raise ConversionError(path, name, expected="it once", got="it twice")
            self.tensors[name] = tensor

    def _weight_files(self) -> list[str]:
        if (self.path / _SINGLE).is_file():
            if (self.path / _INDEX).exists():  # as transformers does, whatever the index says
                log.warning("%s: %s is taken, %s left aside", self.path, _SINGLE, _INDEX)
            return [_SINGLE]
        index = self.read_json(_INDEX)
        if index is not None:
            shards = index.get("weight_map")
            if not isinstance(shards, dict) or not shards:
                raise ConversionError(self.path / _INDEX, "weight_map", expected="tensor names")
            names = sorted({self._plain_name(name) for name in shards.values()})
            # What the system refuses as a name is absent, too.
            absent = [name for name in names if not os.path.isfile(self.path / name)]
            if absent:
                raise ConversionError(
                    self.path, "weights", expected=f"the {len(names)} files of {_INDEX}",
                    got=f"no {', '.join(absent)}", hint="download what is missing",
                )  # fmt: skip
            return names
        found = contents_of(self.path)
        raise ConversionError(
            self.path, "weights", expected=_SINGLE, got=found.what, hint=found.hint
        )

    def _plain_name(self, name: object) -> str:
        if not isinstance(name, str) or name != Path(name).name or name in ("", ".", ".."):
            raise ConversionError(
                self.path / _INDEX, "weight_map", expected="files of this folder", got=repr(name)
            )
        return name
