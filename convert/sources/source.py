"""What can be converted: a Hugging Face folder, or a GGUF file to be quantized again.

A source knows its tensors under their GGUF names, one at a time as float rows, and its metadata.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from halfbyte.converting.gguf_keys import (
    add_base_model,
    add_config,
    add_layer_counts,
    add_sampling,
    add_vocabulary,
    say_what_llama_cpp_computes,
    say_what_others_miss,
)
from halfbyte.converting.sources.gguf_checks import check_runs
from halfbyte.converting.sources.hf_folder import HFFolder
from halfbyte.converting.sources.hf_tensors import Mapped, map_tensors
from halfbyte.converting.sources.problems import Problems
from halfbyte.converting.sources.source_tensors import (
    FileTensor,
    FolderTensor,
    MadeTensor,
    Tensor,
    TensorSource,
)
from halfbyte.errors import ConversionError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_hf import config_from_hf
from halfbyte.families.left_out import left_out
from halfbyte.families.model_card import sampling_from_hf
from halfbyte.families.next_tokens import NEXT_KEY
from halfbyte.families.registry import family_of, tensors_of
from halfbyte.files.file_kinds import is_gguf, refused
from halfbyte.files.json_folder import TEMPLATES
from halfbyte.gguf.factors import factor_name, factor_names
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.shard_name import without_number
from halfbyte.gguf.split import model_file
from halfbyte.gguf.strings import Strings
from halfbyte.quality.figures import FIGURE_KEYS
from halfbyte.quality.layer_source import GGUFSource, LayerSource
from halfbyte.tokenizer import Tokenizer
from halfbyte.tokenizer.files import read_vocabulary
from halfbyte.tokenizer.vocabulary import Vocabulary

log = logging.getLogger(__name__)

_GENERATION = "generation_config.json"

# What describes the file that was read, not the one that is written.
_OWN_KEYS = (
    "general.architecture", "general.file_type", "general.quantization_version",
    "general.alignment", "split.", *FIGURE_KEYS,
)  # fmt: skip


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

    def keep_blocks(self, names: Collection[str]) -> list[Tensor]:
        """Have these tensors written as the blocks that they are.

        Their factors, if they have any, become tensors of the source, which are given.
        """
        known = {tensor.name for tensor in self.tensors}
        made: list[Tensor] = [
            MadeTensor(self.path, factor_name(one.name), tuple(map(float, one.factors)))
            for one in self.tensors
            if one.name in names and one.factors is not None
        ]
        self.tensors = [*self.tensors, *(one for one in made if one.name not in known)]
        return made

    def layers(self) -> LayerSource:
        """The same weights for the float forward pass."""
        return TensorSource(self.tensors, self.config)

    @abstractmethod
    def close(self) -> None:
        """Close the files."""


def open_source(path: Path, *, drafts: bool = True) -> Source:
    """A folder or a .gguf file, of a split model any one of its files, checked.

    Without `drafts`, layers that guess further ahead (families/next_layer.py) are left out.

    Raises:
        ConversionError: neither of them, or a broken folder.
        ModelFileError: a broken file. UnsupportedModelError: a model that does not run.
    """
    path = model_file(path)
    if path.is_file():
        if is_gguf(path):
            return FileModel(path, drafts=drafts)
        expected = "a Hugging Face folder or a .gguf file"
        raise refused(ConversionError, path, expected=expected, got="another file")
    return FolderModel(path, drafts=drafts)


class FolderModel(Source):
    """A Hugging Face folder."""

    def __init__(self, path: Path, *, drafts: bool = True) -> None:
        self._folder = folder = HFFolder(path)
        try:
            config, mapped, self._vocabulary = _checked(folder, drafts=drafts)
            self._made_from = (folder.config or {}).get("_name_or_path")
            stated = folder.read_json(_GENERATION) or {}
            self._sampling = sampling_from_hf(path / _GENERATION, stated)
        except BaseException:
            folder.close()
            raise
        tensors: list[Tensor] = [FolderTensor(*one) for one in mapped]
        tensors += [MadeTensor(path, *one) for one in config.rope.stated_factors]
        more = (path / TEMPLATES).glob("*.jinja")
        files = sorted(p for p in (*path.iterdir(), *more) if _is_read(p, folder))
        super().__init__(path, config.name, config, tensors, files)

    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        meta = gguf.GGUFWriter(path, self.config.architecture)
        meta.add_name(name)
        add_base_model(meta, self._made_from)
        add_config(meta, self.config)
        add_sampling(meta, self._sampling)
        add_vocabulary(meta, self._vocabulary)
        say_what_others_miss(self._vocabulary)
        say_what_llama_cpp_computes(self.path, self.config)
        return meta

    def close(self) -> None:
        self._folder.close()


class FileModel(Source):
    """A GGUF file."""

    def __init__(self, path: Path, *, drafts: bool = True) -> None:
        self._file = file = GGUFFile.open(path, strict_types=False)
        try:
            config = check_runs(file)
            _check_heads(path, config)
            name = file.metadata.get_str("general.name", without_number(path.name))
        except BaseException:
            file.close()
            raise
        others = left_out(file.tensors, file.path, family_of(config), config) | factor_names(file)
        if not drafts:
            config, whole = replace(config, n_next=0), config
            others |= {s.name for s in tensors_of(whole)} - {s.name for s in tensors_of(config)}
        infos = [info for name, info in file.tensors.items() if name not in others]
        tensors: list[Tensor] = [FileTensor(file, info) for info in infos]
        super().__init__(path, name, config, tensors, [Path(one) for one in file.paths])

    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        old = self._file.metadata
        meta = gguf.GGUFWriter(path, old.get_str("general.architecture"))
        meta.add_name(name)
        for key in old:
            is_own = key == "general.name" or key.startswith(_OWN_KEYS)
            if is_own or key.endswith(f".{NEXT_KEY}"):
                continue
            if key.endswith(".block_count"):
                add_layer_counts(meta, self.config)
                continue
            found = old.raw(key)
            value: Any = found.value
            if isinstance(value, np.ndarray):
                value = value.tolist()
            elif isinstance(value, Strings):
                value = list(value)
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


def _checked(folder: HFFolder, *, drafts: bool) -> tuple[ModelConfig, list[Mapped], Vocabulary]:
    """What a folder holds; ConversionError or UnsupportedModelError with all that is wrong."""
    path, problems = folder.path, Problems(folder.path)
    found, vocabulary = None, None
    n_rows = None
    with problems.noted():
        config = config_from_hf(path, folder.config or {})
        n_rows = config.vocab_size
        found = map_tensors(folder, config, drafts=drafts)
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
