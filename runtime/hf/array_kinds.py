"""What a caller's functions are given: tensors where the program uses torch, else arrays."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray


def torch() -> Any:
    """The torch package, where somebody imported it; None elsewhere."""
    return sys.modules.get("torch")


def given(array: NDArray[Any]) -> Any:
    """An array as the caller's functions take it; it shares the memory."""
    package = torch()
    return array if package is None else package.from_numpy(array)


def taken(value: Any) -> Any:
    """What such a function gave back, a tensor as an array; anything else as it is."""
    package = torch()
    if package is not None and isinstance(value, package.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    return value


def without_gradients() -> AbstractContextManager[object]:
    """A block in which torch keeps no gradients."""
    package = torch()
    return nullcontext() if package is None else package.no_grad()


def is_array(value: object, shape: tuple[int, ...], kinds: str) -> bool:
    """Whether it is an array of that shape, of one of NumPy's kinds of numbers."""
    return isinstance(value, np.ndarray) and value.shape == shape and value.dtype.kind in kinds
