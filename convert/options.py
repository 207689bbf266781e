"""What a caller may choose about a conversion."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, TypedDict

from halfbyte.call_arguments import check_flag, check_path, is_whole, unknown_argument
from halfbyte.converting.recipe import KEEP, check_type
from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass
from halfbyte.lora.paths import AdapterPaths, adapter_paths
from halfbyte.tokenizer.tokenizer import check_text

if TYPE_CHECKING:
    from typing_extensions import Unpack
elif sys.version_info >= (3, 11):  # for typing.get_type_hints
    from typing import Unpack


class ConversionOptions(TypedDict, total=False):
    """The options of `halfbyte.convert` by name; see Options."""

    type: str
    pure: bool
    calibrate: bool | str | os.PathLike[str]
    imatrix: str | os.PathLike[str] | None
    save_imatrix: str | os.PathLike[str] | None
    measure: bool
    report: str | os.PathLike[str] | None
    name: str | None
    adapter: AdapterPaths
    drafts: bool
    force: bool
    threads: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a caller may choose about a conversion. Checked when made.

    Attributes:
        type: a name of RECIPES ("q8_0", "q4_0", "q4_k_m" ...). As llama.cpp's, most types give
            some matrices a better one; vectors stay F32. "keep": the numbers as they are.
        pure: give all matrices the one type.
        calibrate: choose scales and codes by what a text sends through the model: True for the
            Python text that comes with halfbyte, or the path of a text file or folder. Takes far
            longer; `plan_conversion` says how much memory.
        imatrix: an importance matrix (.gguf or .dat, as llama.cpp's) to weigh errors by.
        save_imatrix: where to save the importance matrix of the calibration's text.
        measure: compare the result with the source and record the figures in the file.
        report: an HTML page to write, with the error of every matrix.
        name: general.name in the file; default: the source's.
        adapter: LoRAs to merge into the weights before they are rounded: a path, a pair of path
            and scale, or a list of these; see docs/adapters.md.
        drafts: keep layers that guess tokens further ahead, at 8 bits or more.
        force: replace existing files.
        threads: threads that quantize; default: physical cores that this process may use. An
            uncalibrated file does not depend on it.

    Raises:
        RequestError: an unknown type, or options that contradict each other.
    """

    type: str = "q8_0"
    pure: bool = False
    calibrate: bool | str | os.PathLike[str] = False
    imatrix: str | os.PathLike[str] | None = None
    save_imatrix: str | os.PathLike[str] | None = None
    measure: bool = True
    report: str | os.PathLike[str] | None = None
    name: str | None = None
    adapter: AdapterPaths = None
    drafts: bool = True
    force: bool = False
    threads: int | None = None

    @classmethod
    def of(cls, **options: Unpack[ConversionOptions]) -> Options:
        """The options with these values, the rest at their defaults.

        Raises:
            RequestError: an unknown name (the nearest one is in the hint), or a bad value.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                raise unknown_argument(name, known, {}, what="an option")
        return cls(**options)

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", check_type(self.type))
        object.__setattr__(self, "adapter", adapter_paths(self.adapter))
        self._check_kinds()
        if self.type == KEEP and (self.pure or self.calibrate is not False or self.imatrix):
            param = "pure" if self.pure else "imatrix" if self.imatrix else "calibrate"
            raise RequestError(param, expected="not with type keep, which rounds nothing")
        if self.calibrate is not False and self.imatrix is not None:
            wanted = "None with calibrate, which takes its own"
            raise RequestError("imatrix", expected=wanted, got=self.imatrix)
        if self.calibrate is False and self.save_imatrix is not None:
            wanted = "calibrate, whose text it is taken from"
            raise RequestError("save_imatrix", expected=wanted, got="no calibrate")
        if self.report is not None and not self.measure:
            raise RequestError("report", expected="a measured conversion", got="measure=False")

    @property
    def calibrates(self) -> bool:
        """Whether a text says how weights are rounded."""
        return self.calibrate is not False

    def _check_kinds(self) -> None:
        """Each value by itself."""
        for name in ("pure", "measure", "drafts", "force"):
            object.__setattr__(self, name, check_flag(name, getattr(self, name)))
        for name in ("imatrix", "save_imatrix", "report"):
            if getattr(self, name) is not None:
                check_path(name, getattr(self, name))
        if not isinstance(self.calibrate, (bool, str, os.PathLike)) or self.calibrate == "":
            expected = "True, False or a path"
            raise RequestError("calibrate", expected=expected, got=repr(self.calibrate))
        if not isinstance(self.calibrate, bool):
            check_path("calibrate", self.calibrate)
        if self.name is not None:
            check_text(self.name, "name")
        if self.threads is not None and not (is_whole(self.threads) and self.threads >= 1):
            expected = "a whole number from 1, or None"
            raise RequestError("threads", expected=expected, got=repr(self.threads))
