"""Whether a GGUF file is a whole model that runs: what loading it refuses is not converted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from halfbyte.converting.sources.problems import Problems
from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_gguf import check_type, config_from_gguf
from halfbyte.families.left_out import left_out
from halfbyte.families.registry import family_of, tensors_of
from halfbyte.families.tensors import ROPE_FACTORS, tensor_errors
from halfbyte.gguf.file import GGUFFile
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.quantizers.quantize import dequantize
from halfbyte.tokenizer import Tokenizer, Vocabulary

_N_SHOWN = 8


def check_runs(file: GGUFFile) -> ModelConfig:
    """The configuration of a file that is a whole model.

    Args:
        file: one opened without strict types.

    Raises:
        ConversionError: all that keeps the file from being loaded.
        UnsupportedModelError: it is no model, but an adapter or a part of one.
    """
    check_type(file.metadata)  # nothing else counts where it is no model
    problems = Problems(Path(file.path))
    config = None
    with problems.noted():
        config = config_from_gguf(file)
    problems.note(_type_errors(file))
    if config is not None:
        problems.note(_tensor_errors(file, config))
    problems.note(_divisor_errors(file))
    with problems.noted():
        Tokenizer.from_gguf(file)
    problems.raise_any()
    assert config is not None  # else a problem was raised
    return config


def check_head(part: Path, source: Path) -> None:
    """Refuse a file to be, once its head is written: GGUF cannot say all that a source says.

    Raises:
        ConversionError: its metadata or tensors are not what loading takes.
    """
    problems = Problems(source)
    with problems.noted(), GGUFFile.open(part) as file:
        problems.note(_tensor_errors(file, config_from_gguf(file)))
        Vocabulary.from_metadata(file.metadata)
    problems.raise_any()


def _tensor_errors(file: GGUFFile, config: ModelConfig) -> Iterator[ModelFileError]:
    others = left_out(file.tensors, file.path, family_of(config), config)
    return tensor_errors(file, tensors_of(config), others)


def _type_errors(file: GGUFFile) -> Iterator[ModelFileError]:
    by_type: dict[str, list[str]] = {}
    for info in file.tensors.values():
        if info.format is None:
            by_type.setdefault(info.type_name, []).append(info.name)
    for type_name, names in by_type.items():
        more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
        shown = ", ".join(names[:_N_SHOWN]) + more
        yield UnsupportedModelError(
            file.path, f"type of {shown}", expected=", ".join(FORMATS), got=type_name
        )


def _divisor_errors(file: GGUFFile) -> Iterator[ModelFileError]:
    for name in ROPE_FACTORS:
        info = file.tensors.get(name)
        if info is None or info.format is None or len(info.shape) > 1:
            continue
        try:
            values = dequantize(file.data(name)[None], info.format, info.shape[0])[0]
        except ValueError as error:
            yield ModelFileError(file.path, name, expected="floats", got=str(error))
            continue
        if not (np.isfinite(values) & (values > 0)).all():
            yield ModelFileError(file.path, name, expected="numbers above 0", got="others")
