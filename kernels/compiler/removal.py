"""Removing compiled kernels."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_FOLDER = re.compile(r"[a-z0-9]+-[0-9a-f]{16}")  # as jit.cache_key names them


def remove_kernels(root: Path) -> int:
    """Remove the folders of compiled code below `root`, and nothing else; returns their bytes.

    A process that runs keeps what it has loaded.
    """
    nbytes = 0
    for folder in root.glob("*"):
        if _FOLDER.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            nbytes += sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            shutil.rmtree(folder, ignore_errors=True)
    return nbytes
