"""`convert`: the conversion from beginning to end, one tensor at a time."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.convert.plan import Plan, make_plan
from halfbyte.convert.recipe import find_recipe
from halfbyte.convert.sources import Source, Tensor, open_source
from halfbyte.convert.writer import Planned, Writer, check_space, check_target, part_file
from halfbyte.errors import ConversionError
from halfbyte.kernels.quantize import quantize
from halfbyte.system import default_threads, set_up_kernels

log = logging.getLogger(__name__)

_CHUNK_WEIGHTS = 1 << 22  # rows are converted in pieces of about 16 MB of floats

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion made. `fallbacks` are matrices whose rows do not fit the type's blocks."""

    path: str
    type: str
    n_tensors: int
    nbytes: int
    bits_per_weight: float
    fallbacks: tuple[str, ...]
    seconds: float


def convert(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str] | None = None,
    *,
    type: str = "q8_0",
    pure: bool = False,
    name: str | None = None,
    force: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert a Hugging Face folder, or a GGUF file, to a GGUF file.

    Args:
        src: a folder with config.json, safetensors and the tokenizer's files, or a .gguf file.
        dst: the file to write, which appears when it is complete; default: the source's name and
            the type, in the working directory.
        type: a name of RECIPES ("q8_0", "q4_0", "q4_k_m" ...). As llama.cpp's, most types give
            some matrices a better one; vectors stay F32.
        pure: give all matrices the one type.
        name: general.name in the file; default: the source's.
        force: replace an existing file.
        threads: threads that quantize; default: physical cores that this process may use. The
            file does not depend on it.
        progress: called with ("convert", bytes written, bytes in all).

    Raises:
        RequestError: an unknown type.
        ConversionError: the source cannot be converted or the file cannot be written.
        ModelFileError: the source is a broken .gguf file.
    """
    begin_s = time.perf_counter()
    recipe = find_recipe(type)
    source = open_source(Path(src))
    try:
        target = Path(f"{source.name}.{recipe.name}.gguf") if dst is None else Path(dst)
        _check_not_source(source, target)
        check_target(target, force=force)
        plan = make_plan(source, recipe, pure=pure)
        check_space(target, plan.nbytes)
        _warn(source, plan)
        set_up_kernels()
        with part_file(target) as part:
            meta = source.new_metadata(part, name or source.name)
            meta.add_file_type(recipe.file_type)
            meta.add_quantization_version(gguf.GGML_QUANT_VERSION)
            n_threads = threads or default_threads().count
            _write(source, plan, Writer(part, meta, plan.tensors), n_threads, progress)
    finally:
        source.close()
    return ConversionReport(
        path=str(target),
        type=recipe.name,
        n_tensors=len(plan.tensors),
        nbytes=target.stat().st_size,
        bits_per_weight=plan.bits_per_weight,
        fallbacks=plan.fallbacks,
        seconds=time.perf_counter() - begin_s,
    )


def plan_conversion(src: str | os.PathLike[str], *, type: str = "q8_0", pure: bool = False) -> Plan:
    """What `convert` would write; reads no weights and writes nothing. Raises as `convert`."""
    source = open_source(Path(src))
    try:
        return make_plan(source, find_recipe(type), pure=pure)
    finally:
        source.close()


def _write(
    source: Source, plan: Plan, writer: Writer, threads: int, progress: Progress | None
) -> None:
    done = 0
    try:
        for tensor, planned in zip(source.tensors, plan.tensors, strict=True):
            writer.write(_encode(tensor, planned, threads))
            tensor.release()
            done += planned.nbytes
            if progress is not None:
                progress("convert", done, plan.nbytes)
    finally:
        writer.close()


def _encode(tensor: Tensor, planned: Planned, threads: int) -> NDArray[np.uint8]:
    """A tensor's bytes in its format, made in pieces of rows."""
    fmt = planned.format
    if tensor.format is fmt:
        return tensor.stored_bytes()
    try:
        if len(tensor.shape) == 1:
            return quantize(tensor.rows(0, tensor.shape[0])[None], fmt)[0]
        n_rows, n = tensor.shape
        out = np.empty((n_rows, fmt.row_nbytes(n)), np.uint8)
        step = max(1, _CHUNK_WEIGHTS // n)
        for begin in range(0, n_rows, step):
            end = min(begin + step, n_rows)
            out[begin:end] = quantize(tensor.rows(begin, end), fmt, threads=threads)
        return out
    except ValueError as error:
        path, name = tensor.where
        raise ConversionError(path, name, expected="finite weights", got=str(error)) from error


def _check_not_source(source: Source, target: Path) -> None:
    for path in source.files:
        if target.exists() and path.samefile(target):
            raise ConversionError(target, expected="another file than the source", got="the source")


def _warn(source: Source, plan: Plan) -> None:
    for name in plan.fallbacks:
        chosen = next(tensor.format.name for tensor in plan.tensors if tensor.name == name)
        log.warning("%s: rows do not fit the type's blocks, stored as %s", name, chosen)
    again = [
        old.name
        for old, new in zip(source.tensors, plan.tensors, strict=True)
        if old.format is not None and old.format.is_quantized and old.format is not new.format
    ]
    if again:
        log.warning(
            "%s: %d tensors are quantized already; quantizing them again loses more than "
            "converting the original weights", source.path, len(again),
        )  # fmt: skip
