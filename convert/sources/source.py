"""What can be converted: a Hugging Face folder, or a GGUF file to be quantized again.

A source knows its tensors under their GGUF names, one at a time as float rows, and its metadata.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.gguf_keys import (
    add_base_model,
    add_config,
    add_sampling,
    add_vocabulary,
    say_what_others_miss,
)
from halfbyte.converting.sources.gguf_checks import check_runs
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.hf_tensors import Mapped, map_tensors
from halfbyte.converting.sources.problems import Problems
from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.errors import ConversionError
from halfbyte.families.config import WINDOW_KEY, ModelConfig
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.model_card import sampling_from_hf
from halfbyte.families.tensors import DRAFTING_KEY, draft_tensors
from halfbyte.file_kinds import is_gguf, refused
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.shard_name import without_number
from halfbyte.gguf.split import model_file
from halfbyte.gguf.tensor_table import TensorInfo
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.quantizers.quantize import dequantize
from halfbyte.quality.layer_source import F32, GGUFSource, LayerSource
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.files import read_vocabulary
from halfbyte.tokenizer.vocabulary import OWN_KEYS, Vocabulary

log = logging.getLogger(__name__)

_GENERATION = "generation_config.json"

# What describes the file that was read, not the one that is written.
_OWN_KEYS = (
    "general.architecture", "general.file_type", "general.quantization_version",
    "general.alignment", "split.",
)  # fmt: skip
_KEPT = (*OWN_KEYS, WINDOW_KEY)  # keys of halfbyte's that a file made of this one keeps


class Tensor(ABC):
    """A tensor of a source; rows of a vector are its numbers.

    Attributes:
        shape: (rows, inputs) or (features,); of experts with as many in front, all of whose rows
            are rows.
        where: file and name, for errors.
        is_quantized: whether its numbers have been rounded already.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        where: tuple[Path | str, str],
        is_quantized: bool = False,
    ) -> None:
        self.name, self.shape, self.where, self.is_quantized = name, shape, where, is_quantized

    @property
    def format(self) -> BlockFormat | None:
        """The type of GGUF that holds it without rounding, if there is one."""
        return None

    @abstractmethod
    def rows(self, begin: int, end: int) -> F32:
        """Some rows, float32."""

    def stored(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Some rows as bytes of `format`: (rows, bytes); ValueError where it is None."""
        raise ValueError(f"{self.name}: no type holds it without rounding")

    @abstractmethod
    def prefetch(self) -> None:
        """Have it read from the disk in the background."""

    @abstractmethod
    def release(self) -> None:
        """Give back the memory that it took."""


class Source(ABC):
    """A model to convert; `files` are all that have a part in the result."""

    def __init__(
        self, path: Path, name: str, config: ModelConfig, tensors: list[Tensor], files: list[Path]
    ) -> None:
        self.path, self.name, self.config = path, name, config
        self.tensors, self.files = tensors, files

    @abstractmethod
    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        """A writer for `path` with all that the source says of itself, under another name."""

    def layers(self) -> LayerSource:
        """The same weights for the float forward pass."""
        return TensorSource(self.tensors, self.config)

    @abstractmethod
    def close(self) -> None:
        """Close the files."""


def open_source(path: Path) -> Source:
    """A folder or a .gguf file, of a split model any one of its files, checked.

    Raises:
        ConversionError: neither of them, or a broken folder.
        ModelFileError: a broken file. UnsupportedModelError: a model that does not run.
    """
    path = model_file(path)
    if path.is_file():
        if is_gguf(path):
            return FileModel(path)
        expected = "a Hugging Face folder or a .gguf file"
        raise refused(ConversionError, path, expected=expected, got="another file")
    return FolderModel(path)


class FolderModel(Source):
    """A Hugging Face folder."""

    def __init__(self, path: Path) -> None:
        self._folder = folder = HFFolder(path)
        try:
            config, mapped, self._vocabulary = _checked(folder)
            self._made_from = (folder.config or {}).get("_name_or_path")
            stated = folder.read_json(_GENERATION) or {}
            self._sampling = sampling_from_hf(path / _GENERATION, stated)
        except BaseException:
            folder.close()
            raise
        tensors: list[Tensor] = [_FolderTensor(*one) for one in mapped]
        tensors += [_MadeTensor(path, *one) for one in config.rope.stated_factors]
        files = sorted(p for p in path.iterdir() if _is_read(p, folder))
        super().__init__(path, config.name, config, tensors, files)

    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        meta = gguf.GGUFWriter(path, self.config.architecture)
        meta.add_name(name)
        add_base_model(meta, self._made_from)
        add_config(meta, self.config)
        add_sampling(meta, self._sampling)
        add_vocabulary(meta, self._vocabulary)
        say_what_others_miss(self._vocabulary)
        return meta

    def close(self) -> None:
        self._folder.close()


class FileModel(Source):
    """A GGUF file."""

    def __init__(self, path: Path) -> None:
        self._file = file = GGUFFile.open(path, strict_types=False)
        try:
            config = check_runs(file)
            _check_heads(path, config)
            name = file.metadata.get_str("general.name", without_number(path.name))
        except BaseException:
            file.close()
            raise
        drafts = draft_tensors(file)
        tensors: list[Tensor] = [
            _FileTensor(file, info) for name, info in file.tensors.items() if name not in drafts
        ]
        super().__init__(path, name, config, tensors, [Path(one) for one in file.paths])

    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        old = self._file.metadata
        meta = gguf.GGUFWriter(path, old.get_str("general.architecture"))
        meta.add_name(name)
        for key in old:
            is_own = key.startswith((*_OWN_KEYS, "halfbyte.")) and key not in _KEPT
            if key == "general.name" or is_own:
                continue
            if key.endswith(f".{DRAFTING_KEY}"):
                continue
            found = old.raw(key)
            value: Any = found.value
            if key.endswith(".block_count"):
                value = self.config.n_layers
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
        return GGUFSource(self._file, self.config)

    def close(self) -> None:
        self._file.close()


def _check_heads(path: Path, config: ModelConfig) -> None:
    """Refuse a file of an old layout, which runs, but for which newer files have another."""
    if config.latent is not None and config.latent.is_fused:
        raise ConversionError(
            path, "tensors", expected="attn_k_b and attn_v_b of each layer", got="attn_kv_b",
            hint="the file runs as it is; to have another type, convert the original checkpoint",
        )  # fmt: skip


class TensorSource:
    """The tensors of a source as whole arrays of floats."""

    def __init__(self, tensors: Iterable[Tensor], config: ModelConfig) -> None:
        self._tensors = {tensor.name: tensor for tensor in tensors}
        self.config = config

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str) -> F32:
        """See LayerSource."""
        tensor = self._tensors[name]
        values = tensor.rows(0, math.prod(tensor.shape[:-1] or tensor.shape))
        tensor.release()
        return values.reshape(tensor.shape)


class _FolderTensor(Tensor):
    """A tensor of a checkpoint; `order` are its rows in GGUF's order, if changed.

    Its numbers grow by `adds`: some families' norms multiply by 1 more than what they have stored.
    """

    def __init__(
        self, name: str, tensor: HFTensor, order: NDArray[np.int64] | None, adds: float
    ) -> None:
        super().__init__(name, tensor.shape, (tensor.path, tensor.name), tensor.is_quantized)
        self._tensor, self._order, self._adds = tensor, order, np.float32(adds)

    @property
    def format(self) -> BlockFormat | None:
        return self._tensor.format

    def rows(self, begin: int, end: int) -> F32:
        rows = self._tensor.rows(self._index(begin, end))
        return rows + self._adds if self._adds else rows

    def stored(self, begin: int, end: int) -> NDArray[np.uint8]:
        return self._tensor.stored(self._index(begin, end))

    def prefetch(self) -> None:
        self._tensor.prefetch()

    def release(self) -> None:
        self._tensor.release()

    def _index(self, begin: int, end: int) -> slice | NDArray[np.int64]:
        return slice(begin, end) if self._order is None else self._order[begin:end]


class _MadeTensor(Tensor):
    """A vector that follows from the configuration."""

    def __init__(self, path: Path, name: str, values: tuple[float, ...]) -> None:
        super().__init__(name, (len(values),), (path, name))
        self._values = np.array(values, np.float32)

    def rows(self, begin: int, end: int) -> F32:
        return self._values[begin:end]

    def prefetch(self) -> None:
        """Nothing lies on the disk."""

    def release(self) -> None:
        """It is small."""


class _FileTensor(Tensor):
    def __init__(self, file: GGUFFile, info: TensorInfo) -> None:
        if info.format is None:
            raise ValueError(f"{info.name}: the file was not opened with strict types")
        is_quantized = info.format.is_quantized
        super().__init__(info.name, info.shape, (file.path, info.name), is_quantized)
        self._file, self._format = file, info.format

    @property
    def format(self) -> BlockFormat:
        return self._format

    def rows(self, begin: int, end: int) -> F32:
        n = self.shape[-1]
        if len(self.shape) == 1:  # one row of blocks, which may be quantized too
            return dequantize(self.stored(0, 1), self._format, n)[0, begin:end]
        return dequantize(self.stored(begin, end), self._format, n)

    def stored(self, begin: int, end: int) -> NDArray[np.uint8]:
        nbytes = self._format.row_nbytes(self.shape[-1])
        return self._file.data(self.name, begin * nbytes, end * nbytes).reshape(-1, nbytes)

    def prefetch(self) -> None:
        self._file.prefetch(self.name)

    def release(self) -> None:
        """It keeps nothing."""


def _checked(folder: HFFolder) -> tuple[ModelConfig, list[Mapped], Vocabulary]:
    """What a folder holds; ConversionError or UnsupportedModelError with all that is wrong."""
    path, problems = folder.path, Problems(folder.path)
    found, vocabulary = None, None
    n_rows = None
    with problems.noted():
        config = config_from_hf(path, folder.config or {})
        n_rows = config.vocab_size
        found = map_tensors(folder, config)
    with problems.noted():
        vocabulary = read_vocabulary(path, n_rows)
        Tokenizer(vocabulary)  # which loading does
    problems.raise_any()
    assert found is not None and vocabulary is not None  # else there was a problem
    return *found, vocabulary


def _is_read(path: Path, folder: HFFolder) -> bool:
    """Whether a file of the folder has a part in the result."""
    weights = {file.path.name for file in folder.files}
    return path.is_file() and (path.name in weights or path.suffix in (".json", ".jinja", ".model"))
