"""`convert_path`: the conversion from beginning to end, without engine, names and network."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import gguf

from halfbyte.converting.calibration.importance import (
    Importance,
    collect_importance,
    load_importance,
    save_importance,
)
from halfbyte.converting.encode import Encoded, calibrated, check_importance, plain
from halfbyte.converting.options import Options
from halfbyte.converting.plan import CALIBRATED_WINDOWS, MEASURED_WINDOWS, Plan, make_plan
from halfbyte.converting.sources.adapted import open_adapted
from halfbyte.converting.sources.gguf_checks import check_head
from halfbyte.converting.sources.source import Source
from halfbyte.converting.target import check_distinct, check_space, check_target, part_file
from halfbyte.converting.writer import Planned, Writer
from halfbyte.files.file_names import file_name
from halfbyte.files.file_warnings import said_once
from halfbyte.gguf.file import GGUFFile
from halfbyte.lazy_dataclass import dataclass
from halfbyte.progress import Progress, silent
from halfbyte.quality import figures
from halfbyte.quality.figures import Figures
from halfbyte.quality.float_model import FloatModel, Ids
from halfbyte.quality.texts import (
    N_WINDOW,
    packaged_text,
    read_text,
    text_files,
    token_windows,
)
from halfbyte.results import Result
from halfbyte.system import default_threads, set_up_kernels
from halfbyte.tokenizer import Tokenizer

log = logging.getLogger(__name__)

_N_NAMED = 4  # tensors, in a warning

Complete = Callable[[Path, Figures], Figures]
"""Called with the written file, before it has its name, and what was measured of it; gives what is
recorded in it."""


@dataclass(frozen=True, slots=True, repr=False)
class ConversionReport(Result):
    """What a conversion made.

    Attributes:
        path, type: of the file.
        n_tensors, nbytes: how many tensors it has, and bytes.
        bits_per_weight: of all tensors together.
        seconds: that all of it took.
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

    def __repr__(self) -> str:
        kl = self.figures.kl_mean if self.figures is not None else math.nan
        loss = "" if math.isnan(kl) else f", KL {kl:.5f}"
        size = f"{self.nbytes / 1e6:.1f} MB, {self.bits_per_weight:.2f} bits per weight"
        facts = f"{self.type}, {self.n_tensors} tensors, {size}{loss}, {self.seconds:.1f} s"
        return f"ConversionReport({self.path!r}, {facts})"


def convert_path(
    src: Path,
    dst: Path | None,
    options: Options,
    *,
    source_name: str | None = None,
    complete: Complete | None = None,
    progress: Progress = silent,
) -> ConversionReport:
    """Convert a Hugging Face folder, or a GGUF file, to a GGUF file.

    Args:
        src: the folder or the file.
        dst: the file to write; None: the source's name and the type, in the working directory.
        options: see `halfbyte.convert`.
        source_name: the source's name where its path does not tell it.
        complete: adds to what is recorded in a measured file.
        progress: called with a stage, what is done of it and what it is in all.

    Raises:
        As `halfbyte.convert`, but for what a download brings.
    """
    begin_s = time.perf_counter()
    opened = partial(open_adapted, src, options.adapter, drafts=options.drafts)
    with said_once(src), closing(opened()) as source:
        source_name = source_name or source.name
        target = dst or Path(f"{file_name(source_name)}.{options.type}.gguf")
        _check_targets(source, target, options)
        plan = make_plan(source, options.type, pure=options.pure, calibrates=options.calibrates)
        check_space(target, plan.nbytes)
        _warn(source, plan)
        set_up_kernels()
        job = _Job(source, plan, options, _given_importance(source, options.imatrix), progress)
        with part_file(target, force=options.force) as part:
            checksum = job.write(part, options.name or source_name)
            found = job.measure(part, checksum)
            if complete is not None and options.measure:
                found = complete(part, found)
            figures.patch(part, found, measured=options.measure)
    return ConversionReport(
        path=str(target),
        type=options.type,
        n_tensors=len(plan.tensors),
        nbytes=target.stat().st_size,
        bits_per_weight=plan.bits_per_weight,
        fallbacks=plan.fallbacks,
        seconds=time.perf_counter() - begin_s,
        figures=found if options.measure else None,
        tensors=plan.tensors,
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """A conversion whose arguments are checked."""

    source: Source
    plan: Plan
    options: Options
    importance: Importance | None
    progress: Progress

    def write(self, part: Path, name: str) -> str | None:
        """Write the file, blanks for its figures; the tensors' checksum where it is known."""
        meta = self.source.new_metadata(part, name)
        meta.add_file_type(self.plan.file_type)
        meta.add_quantization_version(gguf.GGML_QUANT_VERSION)
        figures.reserve(meta, len(self.plan.tensors), measured=self.options.measure)
        with closing(Writer(part, meta, self.plan.tensors)) as writer:
            check_head(part, self.source.path)
            n_threads = self.options.threads or default_threads().count
            if self.options.calibrate is False:
                encoded = plain(self.source, self.plan, n_threads, self.importance)
                self._put(encoded, writer, self.progress)
            else:
                self._put(self._calibrated(part, n_threads), writer, silent)
            return writer.sha256

    def _put(self, encoded: Encoded, writer: Writer, progress: Progress) -> None:
        """Write the tensors, each piece while the next one is made."""
        done = 0
        with ThreadPoolExecutor(1) as behind:
            written = behind.submit(lambda: None)
            for name, data in encoded:
                written.result()
                written = behind.submit(writer.write, name, data)
                done += data.nbytes
                progress("convert", done, self.plan.nbytes)
            written.result()
        writer.check_complete()

    def _calibrated(self, part: Path, n_threads: int) -> Encoded:
        """The tensors' bytes, chosen by what a text sends through the model."""
        n_ctx_train = self.source.config.n_ctx_train
        ids = _calibration_ids(part, self.options.calibrate, n_ctx_train)
        log.warning(
            "calibrating on %d windows of %d tokens, with up to %.1f GB of memory",
            *ids.shape, self.plan.calibrating_nbytes / 1e9,
        )  # fmt: skip
        if self.options.save_imatrix is not None:
            model = FloatModel(self.source.layers())
            importance = collect_importance(model, ids, progress=self.progress)
            save_importance(Path(self.options.save_imatrix), importance)
        return calibrated(self.source, self.plan, n_threads, ids, self.progress)

    def measure(self, part: Path, tensors_sha256: str | None) -> Figures:
        """What the file is: checksums, and what it says beside its source."""
        with GGUFFile.open(part) as file:
            if not self.options.measure:
                return figures.checksums(file, tensors_sha256)
            return figures.measured_figures(
                file,
                self.source.layers(),
                source_sha256=figures.source_sha256(self.source.files),
                tensors_sha256=tensors_sha256,
                max_windows=MEASURED_WINDOWS,
                progress=self.progress,
            )


def _check_targets(source: Source, target: Path, options: Options) -> None:
    """Each file to be written is a place of its own, and none that is read."""
    written = {"dst": target, "save_imatrix": options.save_imatrix, "report": options.report}
    paths = {name: Path(path) for name, path in written.items() if path is not None}
    text = options.calibrate
    check_distinct(
        paths,
        {
            "the source": source.files,
            "imatrix": [] if options.imatrix is None else [Path(options.imatrix)],
            "calibrate": [] if isinstance(text, bool) else text_files(Path(text)),
        },
    )
    for param, path in paths.items():
        check_target(path, force=options.force, param=param)


def _given_importance(source: Source, path: str | os.PathLike[str] | None) -> Importance | None:
    if path is None:
        return None
    importance = load_importance(Path(path))
    check_importance(source, importance)
    return importance


def _calibration_ids(part: Path, calibrate: bool | str | os.PathLike[str], n_ctx_train: int) -> Ids:
    """The text's windows; the vocabulary is the file's, whose header is written."""
    if calibrate is True:
        text = packaged_text("calibration")
    else:
        text = read_text(Path(str(calibrate)), "calibrate")
    length = min(N_WINDOW, n_ctx_train)
    with GGUFFile.open(part) as file:
        tokenizer = Tokenizer.from_gguf(file)
    ids = token_windows(tokenizer, text, length)
    if len(ids) > CALIBRATED_WINDOWS:
        log.warning(
            "calibrating on the first %d of %d windows of %d tokens",
            CALIBRATED_WINDOWS, len(ids), length,
        )  # fmt: skip
    return ids[:CALIBRATED_WINDOWS]


def _warn(source: Source, plan: Plan) -> None:
    formats = {tensor.name: tensor.format.name for tensor in plan.tensors}
    for chosen in dict.fromkeys(formats[name] for name in plan.fallbacks):
        names = [name for name in plan.fallbacks if formats[name] == chosen]
        more = f" and {len(names) - _N_NAMED} more" if len(names) > _N_NAMED else ""
        log.warning(
            "%s%s: rows do not fit the type's blocks, stored as %s",
            ", ".join(names[:_N_NAMED]), more, chosen,
        )  # fmt: skip
    again = [
        old.name
        for old, new in zip(source.tensors, plan.tensors, strict=True)
        if old.is_quantized and new.format.is_quantized and old.format is not new.format
    ]
    if again:
        log.warning(
            "%s: %d tensors are quantized already; quantizing them again loses more than "
            "converting the original weights", source.path, len(again),
        )  # fmt: skip
