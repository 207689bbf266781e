"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of data that lies outside the repository; skips, visibly, where it is absent."""
    path = Path(os.environ.get("HALFBYTE_SHARED", ROOT.parent / "shared"))
    if not (path / "data").is_dir():
        pytest.skip(f"no shared data in {path} (HALFBYTE_SHARED names another folder)")
    return path
