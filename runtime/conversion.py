"""`convert`: a conversion as users ask for it, with sources by name and a golden continuation."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from halfbyte.converting.convert import ConversionReport, convert_path
from halfbyte.converting.options import Options
from halfbyte.converting.plan import Plan, make_plan
from halfbyte.converting.recipe import check_type
from halfbyte.converting.sources.source import open_source
from halfbyte.golden import golden_continuation
from halfbyte.loading import load
from halfbyte.models import catalogue
from halfbyte.progress import Progress, silent
from halfbyte.quality.figures import Figures


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
            some matrices a better one; vectors stay F32. "keep": the numbers as they are.
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
    options = Options(
        type=type, pure=pure, calibrate=calibrate, imatrix=imatrix, save_imatrix=save_imatrix,
        measure=measure, name=name, force=force, threads=threads,
    )  # fmt: skip

    def with_golden(part: Path, figures: Figures) -> Figures:
        with load(part, threads=threads or None, progress=progress) as model:
            golden = golden_continuation(model)
        return replace(figures, golden_tokens=golden.tokens, golden_margin=golden.margin)

    with catalogue.source(src, progress=progress) as (path, source_name):
        return convert_path(
            path, None if dst is None else Path(dst), options,
            source_name=source_name, complete=with_golden, progress=progress or silent,
        )  # fmt: skip


def plan_conversion(src: str | os.PathLike[str], *, type: str = "q8_0", pure: bool = False) -> Plan:
    """What `convert` would write; reads no weights, writes and fetches nothing.

    Raises:
        As `convert`; DownloadError for a model that is not here.
    """
    type = check_type(type)
    with closing(open_source(catalogue.resolve(src, pull=False))) as source:
        return make_plan(source, type, pure=pure)
