"""`convert`: the conversion from beginning to end."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import gguf

from halfbyte.converting.calibration.importance import (
    Importance,
    collect_importance,
    load_importance,
    save_importance,
)
from halfbyte.converting.encode import Encoded, calibrated, check_importance, plain
from halfbyte.converting.plan import CALIBRATED_WINDOWS, MEASURED_WINDOWS, Plan, make_plan
from halfbyte.converting.recipe import find_recipe
from halfbyte.converting.sources.source import Source, open_source
from halfbyte.converting.writer import Planned, Writer, check_space, check_target, part_file
from halfbyte.errors import ConversionError, RequestError
from halfbyte.gguf.file import GGUFFile
from halfbyte.models.catalogue import resolve
from halfbyte.models.catalogue import source as model_source
from halfbyte.quality import figures
from halfbyte.quality.figures import Figures
from halfbyte.quality.float_model import FloatModel, Ids
from halfbyte.quality.texts import N_WINDOW, packaged_text, read_text, token_windows
from halfbyte.system import default_threads, set_up_kernels
from halfbyte.tokenizer import Tokenizer

log = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion made.

    Attributes:
        fallbacks: matrices whose rows do not fit the type's blocks.
        figures: what was measured and recorded in the file; None with measure=False.
        tensors: name, shape and format, in the order of `figures.tensor_errors`.
    """

    path: str
    type: str
    n_tensors: int
    nbytes: int
    bits_per_weight: float
    fallbacks: tuple[str, ...]
    seconds: float
    figures: Figures | None
    tensors: tuple[Planned, ...]


def convert(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str] | None = None,
    *,
    type: str = "q8_0",
    pure: bool = False,
    calibrate: bool | str | os.PathLike[str] = False,
    imatrix: str | os.PathLike[str] | None = None,
    save_imatrix: str | os.PathLike[str] | None = None,
    measure: bool = True,
    name: str | None = None,
    force: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> ConversionReport:
    """Convert a Hugging Face folder, or a GGUF file, to a GGUF file.

    Args:
        src: a folder with config.json, safetensors and the tokenizer's files, a .gguf file, or a
            hub's org/name.
        dst: the file to write, which appears when it is complete; default: the source's name and
            the type, in the working directory.
        type: a name of RECIPES ("q8_0", "q4_0", "q4_k_m" ...). As llama.cpp's, most types give
            some matrices a better one; vectors stay F32.
        pure: give all matrices the one type.
        calibrate: choose scales and codes by what a text sends through the model: True for the
            Python text that comes with halfbyte, or the path of a text file or folder. Takes far
            longer; `plan_conversion` says how much memory.
        imatrix: an importance matrix (.gguf or .dat, as llama.cpp's) to weigh errors by.
        save_imatrix: where to save the importance matrix of the calibration's text.
        measure: compare the result with the source and record the figures in the file.
        name: general.name in the file; default: the source's.
        force: replace existing files.
        threads: threads that quantize; default: physical cores that this process may use. An
            uncalibrated file does not depend on it.
        progress: called with a stage, what is done of it and what it is in all.

    Raises:
        RequestError: an unknown type, or arguments that contradict each other.
        ConversionError: the source cannot be converted or the file cannot be written.
        ModelFileError: there is no source, it is a broken .gguf file, or the importance matrix is
            broken.
    """
    begin_s = time.perf_counter()
    recipe = find_recipe(type)
    _check_arguments(calibrate, imatrix, save_imatrix)
    matrix = None if save_imatrix is None else Path(save_imatrix)
    with _opened(src, progress) as (source, source_name):
        target = Path(f"{source_name}.{recipe.name}.gguf") if dst is None else Path(dst)
        for path in (target, matrix):
            if path is not None:
                _check_not_source(source, path)
                check_target(path, force=force)
        if matrix is not None and matrix.absolute() == target.absolute():
            raise RequestError("save_imatrix", expected="another file than dst", got=str(matrix))
        plan = make_plan(source, recipe, pure=pure)
        check_space(target, plan.nbytes)
        _warn(source, plan)
        set_up_kernels()
        n_threads = threads or default_threads().count
        given = _given_importance(source, imatrix)
        with part_file(target) as part:
            meta = source.new_metadata(part, name or source_name)
            meta.add_file_type(recipe.file_type)
            meta.add_quantization_version(gguf.GGML_QUANT_VERSION)
            figures.reserve(meta, len(plan.tensors), measured=measure)
            writer = Writer(part, meta, plan.tensors)
            if calibrate is False:
                encoded = plain(source, plan, n_threads, given)
            else:
                ids = _calibration_ids(part, calibrate)
                log.warning(
                    "calibrating on %d windows of %d tokens, with up to %.1f GB of memory",
                    *ids.shape, plan.calibrating_nbytes / 1e9,
                )  # fmt: skip
                if matrix is not None:
                    _save_importance(source, ids, matrix, progress)
                encoded = calibrated(source, plan, n_threads, ids, progress)
            _write(encoded, plan, writer, None if calibrate else progress)
            found = _record(source, part, writer.sha256, n_threads, progress, measure=measure)
    return ConversionReport(
        path=str(target),
        type=recipe.name,
        n_tensors=len(plan.tensors),
        nbytes=target.stat().st_size,
        bits_per_weight=plan.bits_per_weight,
        fallbacks=plan.fallbacks,
        seconds=time.perf_counter() - begin_s,
        figures=found if measure else None,
        tensors=plan.tensors,
    )


def plan_conversion(src: str | os.PathLike[str], *, type: str = "q8_0", pure: bool = False) -> Plan:
    """What `convert` would write; reads no weights, writes and fetches nothing.

    Raises:
        As `convert`; DownloadError for a model that is not here.
    """
    recipe = find_recipe(type)
    source = open_source(resolve(src, pull=False))
    try:
        return make_plan(source, recipe, pure=pure)
    finally:
        source.close()


@contextmanager
def _opened(src: str | os.PathLike[str], progress: Progress | None) -> Iterator[tuple[Source, str]]:
    """The source and its name; fetched first if it lies on a hub."""
    with model_source(src, progress=progress) as (path, name):
        source = open_source(path)
        try:
            yield source, name or source.name
        finally:
            source.close()


def _check_arguments(calibrate: object, imatrix: object, save_imatrix: object) -> None:
    if calibrate is not False and imatrix is not None:
        raise RequestError(
            "imatrix", expected="None with calibrate, which takes its own", got=imatrix
        )
    if calibrate is False and save_imatrix is not None:
        raise RequestError(
            "save_imatrix", expected="calibrate, whose text it is taken from", got="no calibrate"
        )
    if calibrate is None or calibrate == "":
        raise RequestError("calibrate", expected="True, False or a path", got=calibrate)


def _given_importance(source: Source, path: str | os.PathLike[str] | None) -> Importance | None:
    if path is None:
        return None
    importance = load_importance(Path(path))
    check_importance(source, importance)
    return importance


def _calibration_ids(part: Path, calibrate: bool | str | os.PathLike[str]) -> Ids:
    """The text's windows; the vocabulary is the file's, whose header is written."""
    is_packaged = calibrate is True
    text = packaged_text("calibration") if is_packaged else read_text(Path(str(calibrate)))
    with GGUFFile.open(part) as file:
        length = min(
            N_WINDOW,
            file.metadata.get_int(
                f"{file.metadata.get_str('general.architecture')}.context_length"
            ),
        )
        tokenizer = Tokenizer.from_gguf(file)
    ids = token_windows(tokenizer, text, length)
    if len(ids) > CALIBRATED_WINDOWS:
        log.warning(
            "calibrating on the first %d of %d windows of %d tokens",
            CALIBRATED_WINDOWS, len(ids), length,
        )  # fmt: skip
    return ids[:CALIBRATED_WINDOWS]


def _save_importance(source: Source, ids: Ids, path: Path, progress: Progress | None) -> None:
    model = FloatModel(source.layers())
    save_importance(path, collect_importance(model, ids, progress=progress))


def _write(encoded: Encoded, plan: Plan, writer: Writer, progress: Progress | None) -> None:
    """Write the tensors, each piece while the next one is made."""
    done = 0
    try:
        with ThreadPoolExecutor(1) as behind:
            written = behind.submit(lambda: None)
            for name, data in encoded:
                written.result()
                written = behind.submit(writer.write, name, data)
                done += data.nbytes
                if progress is not None:
                    progress("convert", done, plan.nbytes)
            written.result()
        writer.check_complete()
    finally:
        writer.close()


def _record(
    source: Source,
    part: Path,
    tensors_sha256: str | None,
    threads: int,
    progress: Progress | None,
    *,
    measure: bool,
) -> Figures:
    """Write into the file what it is: checksums, and what it says beside its source."""
    from halfbyte.golden import golden_continuation
    from halfbyte.loading import load

    with GGUFFile.open(part) as file:
        if measure:
            found = figures.measured_figures(
                file,
                source.layers(),
                source_sha256=figures.source_sha256(source.files),
                tensors_sha256=tensors_sha256,
                max_windows=MEASURED_WINDOWS,
                progress=progress,
            )
        else:
            found = figures.checksums(file, tensors_sha256)
    if measure:
        with load(part, threads=threads, progress=progress) as model:
            golden = golden_continuation(model)
        found = replace(found, golden_tokens=golden.tokens, golden_margin=golden.margin)
    figures.patch(part, found, measured=measure)
    return found


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
