"""Many machines: the server on Ray Serve, and data sets completed on Ray Data (docs/ray.md).

Needs the extra [ray]. `deploy` serves models on replicas, `build` makes the application for
`serve.run`; `complete_dataset` works through a file.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from halfbyte.ray.datasets import complete_dataset
    from halfbyte.ray.deployment import build, deploy

_FROM = {"build": "deployment", "deploy": "deployment", "complete_dataset": "datasets"}

__all__ = ["build", "complete_dataset", "deploy"]


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"halfbyte.ray.{_FROM[name]}"), name)
