"""What can be converted: a Hugging Face folder, or a GGUF file to be quantized again.

A source knows its tensors under their GGUF names, one at a time as float rows, and its metadata.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.recipe import Shape
from halfbyte.converting.sources.hf_config import HParams, read_hparams
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.hf_tensors import MappedTensor, map_tensors
from halfbyte.converting.vocab_keys import add_vocabulary
from halfbyte.errors import ConversionError
from halfbyte.families.config import ModelConfig, RopeConfig
from halfbyte.gguf.file import GGUFFile, TensorInfo
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.quantizers.quantize import dequantize
from halfbyte.quality.float_model import F32, FloatConfig, GGUFSource, LayerSource
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
    model: Shape
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
        self._hparams = h = read_hparams(path, self._folder.config or {})
        self._mapped = map_tensors(self._folder, h)
        self.path, self.name = path, path.resolve().name
        self.model = Shape(h.n_layers, h.n_heads, h.n_kv_heads, h.tied)
        self.tensors: list[Tensor] = [_FolderTensor(tensor) for tensor in self._mapped]
        if h.rope_divisors is not None:
            self.tensors.append(_MadeTensor(path, "rope_freqs.weight", h.rope_divisors))
        self.files = sorted(p for p in path.iterdir() if _is_read(p, self._folder))

    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        """See Source."""
        meta = gguf.GGUFWriter(path, self._hparams.architecture)
        meta.add_name(name)
        _add_hparams(meta, self._hparams)
        add_vocabulary(meta, read_vocabulary(self.path, self._hparams.vocab_size))
        return meta

    def layers(self) -> LayerSource:
        """See Source."""
        return FolderSource(self._mapped, self._hparams)

    def close(self) -> None:
        """See Source."""


class FileModel:
    """A GGUF file."""

    def __init__(self, path: Path) -> None:
        self._file = GGUFFile.open(path)
        try:
            self._config = c = ModelConfig.from_gguf(self._file)
        except BaseException:
            self._file.close()
            raise
        infos = self._file.tensors
        self.path, self.name = path, self._file.metadata.get_str("general.name", path.stem)
        self.model = Shape(c.n_layers, c.n_heads, c.n_kv_heads, "output.weight" not in infos)
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
        return GGUFSource(self._file, self._config)

    def close(self) -> None:
        """See Source."""
        self._file.close()


class FolderSource:
    """The tensors of a Hugging Face folder, as `map_tensors` names them."""

    def __init__(self, tensors: Sequence[MappedTensor], h: HParams) -> None:
        self._tensors = {tensor.name: tensor for tensor in tensors}
        frequencies = RopeConfig(h.rope_theta, h.rope_factor).frequencies(h.head_dim)
        if h.rope_divisors is not None:
            frequencies /= np.array(h.rope_divisors, np.float32)  # as a file has them
        self.config = FloatConfig(
            h.n_layers, h.n_heads, h.n_kv_heads, h.head_dim, h.norm_eps, frequencies,
            h.sliding_window, h.rotates_halves,
        )  # fmt: skip

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str) -> F32:
        """See LayerSource."""
        tensor = self._tensors[name]
        values = tensor.rows(0, tensor.shape[0])
        tensor.source.file.release()
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


def _add_hparams(meta: gguf.GGUFWriter, h: HParams) -> None:
    meta.add_context_length(h.n_ctx)
    meta.add_embedding_length(h.dim)
    meta.add_block_count(h.n_layers)
    meta.add_feed_forward_length(h.hidden_dim)
    meta.add_head_count(h.n_heads)
    meta.add_head_count_kv(h.n_kv_heads)
    meta.add_key_length(h.head_dim)
    meta.add_value_length(h.head_dim)
    meta.add_layer_norm_rms_eps(h.norm_eps)
    meta.add_rope_dimension_count(h.head_dim)
    meta.add_rope_freq_base(h.rope_theta)
    if h.rope_factor != 1.0:
        meta.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        meta.add_rope_scaling_factor(h.rope_factor)
    if h.sliding_window:
        meta.add_sliding_window(h.sliding_window)
    meta.add_vocab_size(h.vocab_size)
