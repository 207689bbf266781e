"""From a Hugging Face folder to one GGUF file.

    folder -> hf (checked, lazy tensors) -> mapping (GGUF names, permuted q and k)
           -> recipe (a type per tensor) -> kernels.quantize -> writer (.part, then rename)

The module itself can be called: `halfbyte.convert(src, dst, type="q8_0")` is `convert` below.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from halfbyte.convert.convert import ConversionReport, convert

__all__ = ["ConversionReport", "convert"]


class _Callable(ModuleType):
    """`halfbyte.convert` names this package and the function: the package is both."""

    def __call__(self, *args: Any, **kwargs: Any) -> ConversionReport:
        return convert(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
