"""A source with adapters merged into it: W + scale B A, in floats, as if it had been trained so."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.source import Source, open_source
from halfbyte.converting.sources.source_tensors import Tensor, TensorSource
from halfbyte.errors import UnsupportedModelError
from halfbyte.families.tensors import OUTPUT
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.lora.adapter import Factors
from halfbyte.lora.paths import AdapterPaths, adapter_paths
from halfbyte.lora.reading import read_adapter
from halfbyte.quality.layer_source import F32, LayerSource


def open_adapted(path: Path, adapter: AdapterPaths = None, *, drafts: bool = True) -> Source:
    """A source (`open_source`) with an argument `adapter` merged into it."""
    adapters = adapter_paths(adapter)
    source = open_source(path, drafts=drafts)
    try:
        return AdaptedSource(source, adapters) if adapters else source
    except BaseException:
        source.close()
        raise


class AdaptedSource(Source):
    """A source whose matrices have adapters merged into them.

    Args:
        source: which is closed with this one.
        adapters: their paths and scales, in order.

    Raises:
        ModelFileError: as `read_adapter`.
        UnsupportedModelError: a head is to change that is the embedding too.
    """

    def __init__(self, source: Source, adapters: Sequence[tuple[str, float]]) -> None:
        self._source = source
        added: dict[str, list[tuple[Factors, float]]] = {}
        files = list(source.files)
        names = {tensor.name for tensor in source.tensors}
        for path, scale in adapters:
            adapter = read_adapter(Path(path), source.config)
            files += _files_of(Path(path))
            for name, factors in adapter.factors.items():
                if name not in names:
                    assert name == OUTPUT  # else it would not fit
                    raise UnsupportedModelError(
                        path, "lm_head", expected="a model whose head is a matrix of its own",
                        got="one whose head is the embedding, which would change with it",
                        hint="use it with model.load_adapter instead",
                    )  # fmt: skip
                added.setdefault(name, []).append((factors, scale))
        tensors = [_Adapted(t, added[t.name]) if t.name in added else t for t in source.tensors]
        super().__init__(source.path, source.name, source.config, tensors, files)

    def new_metadata(self, path: Path, name: str) -> gguf.GGUFWriter:
        return self._source.new_metadata(path, name)

    def layers(self) -> LayerSource:
        return TensorSource(self.tensors, self.config)

    def close(self) -> None:
        self._source.close()


class _Adapted(Tensor):
    """A matrix, and what is added to it."""

    def __init__(self, tensor: Tensor, added: list[tuple[Factors, float]]) -> None:
        super().__init__(tensor.name, tensor.shape, tensor.where, tensor.is_quantized)
        self._tensor, self._added = tensor, added

    @property
    def format(self) -> BlockFormat:
        return FORMATS["F32"]

    def rows(self, begin: int, end: int) -> F32:
        rows = self._tensor.rows(begin, end).astype(np.float32, copy=True)
        for factors, scale in self._added:
            rows += factors.delta(begin, end) * np.float32(scale)
        return rows

    def stored(self, begin: int, end: int) -> NDArray[np.uint8]:
        rows = np.ascontiguousarray(self.rows(begin, end), np.float32)
        return rows.view(np.uint8).reshape(len(rows), -1)

    def prefetch(self) -> None:
        self._tensor.prefetch()

    def release(self) -> None:
        self._tensor.release()


def _files_of(path: Path) -> list[Path]:
    """The files that an adapter was read from."""
    return sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]
