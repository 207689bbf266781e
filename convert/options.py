"""What a caller may choose about a conversion."""

from __future__ import annotations

import os
from dataclasses import dataclass

from halfbyte.converting.recipe import KEEP, check_type
from halfbyte.errors import RequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The arguments of `halfbyte.convert`, which says what they mean. Checked when made.

    Raises:
        RequestError: an unknown type, or options that contradict each other.
    """

    type: str = "q8_0"
    pure: bool = False
    calibrate: bool | str | os.PathLike[str] = False
    imatrix: str | os.PathLike[str] | None = None
    save_imatrix: str | os.PathLike[str] | None = None
    measure: bool = True
    name: str | None = None
    force: bool = False
    threads: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", check_type(self.type))
        if self.type == KEEP and (self.pure or self.calibrate is not False or self.imatrix):
            param = "pure" if self.pure else "imatrix" if self.imatrix else "calibrate"
            raise RequestError(param, expected="not with type keep, which rounds nothing")
        if self.calibrate is not False and self.imatrix is not None:
            wanted = "None with calibrate, which takes its own"
            raise RequestError("imatrix", expected=wanted, got=self.imatrix)
        if self.calibrate is False and self.save_imatrix is not None:
            wanted = "calibrate, whose text it is taken from"
            raise RequestError("save_imatrix", expected=wanted, got="no calibrate")
        if self.calibrate in (None, ""):
            raise RequestError("calibrate", expected="True, False or a path", got=self.calibrate)
