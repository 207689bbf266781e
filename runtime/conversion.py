"""`convert`: a conversion as users ask for it, with sources by name and a golden continuation."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from halfbyte.call_arguments import check_flag, check_path, check_progress
from halfbyte.converting.convert import ConversionReport, convert_path
from halfbyte.converting.options import ConversionOptions, Options
from halfbyte.converting.plan import Plan, make_plan
from halfbyte.converting.recipe import check_type
from halfbyte.converting.report.page import write_report
from halfbyte.converting.sources.adapted import open_adapted
from halfbyte.golden import golden_continuation
from halfbyte.loading import load
from halfbyte.lora.paths import AdapterPaths
from halfbyte.models import catalogue
from halfbyte.progress import Progress
from halfbyte.quality.figures import Figures

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack


def convert(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[ConversionOptions],
) -> ConversionReport:
    """Convert a Hugging Face folder, or a GGUF file, to a GGUF file.

    Args:
        src: a folder with config.json, safetensors and the tokenizer's files, a .gguf file, or a
            hub's org/name.
        dst: the file to write, which appears when it is complete; default: the source's name and
            the type, in the working directory.
        progress: called with a stage, what is done of it and what it is in all.
        **options: the fields of converting.options.Options: `type` ("q8_0"), `pure`, `calibrate`,
            `imatrix`, `save_imatrix`, `measure`, `report`, `name`, `adapter`, `drafts`, `force`,
            `threads`.

    Raises:
        RequestError: an unknown type or option, options that contradict each other, or two files
            that are one.
        ConversionError: the source cannot be converted or the file cannot be written.
        ModelFileError: there is no source, it is a broken .gguf file, or the importance matrix is
            broken.
        EngineError: what a measured model computes is not finite.
    """
    chosen, report = Options.of(**options), check_progress(progress)
    target = None if dst is None else Path(check_path("dst", dst))
    threads = chosen.threads

    def with_golden(part: Path, figures: Figures) -> Figures:
        with load(part, threads=threads or None, draft=False, progress=progress) as model:
            golden = golden_continuation(model)
        return replace(figures, golden_tokens=golden.tokens, golden_margin=golden.margin)

    with catalogue.source(src, progress=progress) as (path, source_name):
        made = convert_path(
            path, target, chosen, source_name=source_name, complete=with_golden, progress=report,
        )  # fmt: skip
    if chosen.report is not None:
        write_report(Path(chosen.report), made)
    return made


def plan_conversion(
    src: str | os.PathLike[str],
    *,
    type: str = "q8_0",
    pure: bool = False,
    adapter: AdapterPaths = None,
    drafts: bool = True,
) -> Plan:
    """What `convert` would write; reads no weights, writes and fetches nothing.

    Raises:
        As `convert`; DownloadError for a model that is not here.
    """
    type = check_type(type)
    check_flag("pure", pure)
    check_flag("drafts", drafts)
    path = catalogue.resolve(src, pull=False)
    with closing(open_adapted(path, adapter, drafts=drafts)) as source:
        return make_plan(source, type, pure=pure)
