"""What can be converted: a Hugging Face folder, or a GGUF file to be quantized again.

A source knows its tensors under their GGUF names, one at a time as float rows, and its metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.gguf_keys import add_config, add_vocabulary
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.hf_tensors import MappedTensor, map_tensors
from halfbyte.errors import ConversionError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.registry import family_of
from halfbyte.families.tensors import ROPE_FREQS, check_tensors
from halfbyte.gguf.file import GGUFFile, TensorInfo
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.quantizers.quantize import dequantize
from halfbyte.quality.float_model import F32, GGUFSource, LayerSource
from halfbyte.tokenizer.files import read_vocabulary

log = logging.getLogger(__name__)

# What describes the file that was read, not the one that is written.
_OWN_KEYS = (
    "general.architecture", "general.file_type", "general.quantization_version",
    "general.alignment", "split.",
)  # fmt: skip


class Tensor(Protocol):
    """A tensor of a source; rows of a vector are its numbers."""

    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, inputs) or (features,)."""

    @property
    def format(self) -> BlockFormat | None:
        """How it is stored, if as blocks or numbers of a GGUF type."""

    @property
    def where(self) -> tuple[Path | str, str]:
        """File and name, for errors."""

    def rows(self, begin: int, end: int) -> NDArray[np.float32]:
        """Some rows, float32."""

    def stored_bytes(self) -> NDArray[np.uint8]:
        """All of it as it is stored, where `format` says how."""

    def prefetch(self) -> None:
        """Have it read from the disk in the background."""

    def release(self) -> None:
        """Give back the memory of its pages."""


class Source(Protocol):
    """A model to convert."""

    path: Path
    name: str
    config: ModelConfig
    tensors: list[Tensor]
    files: list[Path]

    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        """A writer for `path` with all that the source says of itself, under another name."""

    def layers(self) -> LayerSource:
        """The same weights for the float forward pass."""

    def close(self) -> None:
        """Close the files."""


def open_source(path: Path) -> Source:
    """A folder or a .gguf file, checked.

    Raises:
        ConversionError: neither of them, or a broken folder.
        ModelFileError: a broken file. UnsupportedModelError: a model that does not run.
    """
    if path.is_file():
        if path.suffix == ".gguf":
            return FileModel(path)
        raise ConversionError(path, expected="a Hugging Face folder or a .gguf file", got=path.name)
    return FolderModel(path)


class FolderModel:
    """A Hugging Face folder."""

    def __init__(self, path: Path) -> None:
        self._folder = HFFolder(path)
        self.config = c = config_from_hf(path, self._folder.config or {})
        self.path, self.name = path, c.name
        self.tensors: list[Tensor] = [_FolderTensor(t) for t in map_tensors(self._folder, c)]
        if c.rope.divisors is not None:
            self.tensors.append(_MadeTensor(path, ROPE_FREQS, c.rope.divisors))
        self.files = sorted(p for p in path.iterdir() if _is_read(p, self._folder))

    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        """See Source."""
        meta = gguf.GGUFWriter(path, self.config.architecture)
        meta.add_name(name)
        add_config(meta, self.config)
        add_vocabulary(meta, read_vocabulary(self.path, self.config.vocab_size))
        return meta

    def layers(self) -> LayerSource:
        """See Source."""
        return FolderSource(self.tensors, self.config)

    def close(self) -> None:
        """See Source."""


class FileModel:
    """A GGUF file."""

    def __init__(self, path: Path) -> None:
        self._file = GGUFFile.open(path)
        try:
            self.config = config_from_gguf(self._file)
            check_tensors(self._file, list(family_of(self.config).tensors(self.config)))
        except BaseException:
            self._file.close()
            raise
        infos = self._file.tensors
        self.path, self.name = path, self._file.metadata.get_str("general.name", path.stem)
        self.tensors: list[Tensor] = [_FileTensor(self._file, info) for info in infos.values()]
        self.files = [path]

    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        """See Source."""
        old = self._file.metadata
        meta = gguf.GGUFWriter(path, old.get_str("general.architecture"))
        meta.add_name(name)
        for key in old:
            if key == "general.name" or key.startswith((*_OWN_KEYS, "halfbyte.")):
                continue
            found = old.raw(key)
            value: Any = found.value
            if isinstance(value, np.ndarray):
                value = value.tolist()
            if isinstance(value, list) and not value:
                log.warning("%s: %s is empty and left out", self.path, key)
                continue
            kind = gguf.GGUFValueType(found.type_id)
            element = None if found.element < 0 else gguf.GGUFValueType(found.element)
            meta.add_key_value(key, value, kind, element)
        return meta

    def layers(self) -> LayerSource:
        """See Source."""
        return GGUFSource(self._file, self.config)

    def close(self) -> None:
        """See Source."""
        self._file.close()


class FolderSource:
    """The tensors of a Hugging Face folder as whole arrays of floats."""

    def __init__(self, tensors: Iterable[Tensor], config: ModelConfig) -> None:
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self.config = config

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str) -> F32:
        """See LayerSource."""
        tensor = self._tensors[name]
        values = tensor.rows(0, tensor.shape[0])
        tensor.release()
        return values


class _FolderTensor:
    format: BlockFormat | None = None  # rows may be in another order than stored

    def __init__(self, mapped: MappedTensor) -> None:
        self._mapped, self.name, self.shape = mapped, mapped.name, mapped.shape
        self.where = (mapped.source.file.path, mapped.source.name)

    def rows(self, begin: int, end: int) -> NDArray[np.float32]:
        return self._mapped.rows(begin, end)

    def stored_bytes(self) -> NDArray[np.uint8]:
        raise NotImplementedError

    def prefetch(self) -> None:
        self._mapped.source.prefetch()

    def release(self) -> None:
        self._mapped.source.file.release()


class _MadeTensor:
    """A vector that follows from the configuration."""

    format: BlockFormat | None = None

    def __init__(self, path: Path, name: str, values: tuple[float, ...]) -> None:
        self._values = np.array(values, np.float32)
        self.name, self.shape, self.where = name, self._values.shape, (path, name)

    def rows(self, begin: int, end: int) -> NDArray[np.float32]:
        return self._values[begin:end]

    def stored_bytes(self) -> NDArray[np.uint8]:
        raise NotImplementedError

    def prefetch(self) -> None:
        pass

    def release(self) -> None:
        pass


class _FileTensor:
    def __init__(self, file: GGUFFile, info: TensorInfo) -> None:
        self._file, self._info = file, info
        self.name, self.shape, self.format = info.name, info.shape, info.format
        self.where = (file.path, info.name)

    def rows(self, begin: int, end: int) -> NDArray[np.float32]:
        assert self.format is not None  # the file was opened with strict types
        n = self.shape[-1] if len(self.shape) > 1 else 1
        blocks = self.stored_bytes().reshape(-1, self.format.row_nbytes(n))
        rows = dequantize(blocks[begin:end], self.format, n)
        return rows if len(self.shape) > 1 else rows[:, 0]

    def stored_bytes(self) -> NDArray[np.uint8]:
        return self._file.data(self.name)

    def prefetch(self) -> None:
        self._file.prefetch(self.name)

    def release(self) -> None:
        self._file.release(self.name)


def _is_read(path: Path, folder: HFFolder) -> bool:
    """Whether a file of the folder has a part in the result."""
    weights = {file.path.name for file in folder.files}
    return path.is_file() and (path.name in weights or path.suffix in (".json", ".jinja", ".model"))


def largest_nbytes(tensors: Iterable[Tensor]) -> int:
    """Bytes of the largest tensor as float32."""
    return max(4 * int(np.prod(tensor.shape)) for tensor in tensors)
