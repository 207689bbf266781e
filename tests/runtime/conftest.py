"""Fixtures of the runtime's tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def hub_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A model hub on 127.0.0.1 that HF_ENDPOINT names; see hub_server.py."""
    module = _load("hub_server")
    with module.serve() as hub:
        hub.Repository = module.Repository
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


@pytest.fixture(scope="session")
def vocabularies() -> Any:
    """Writers of GGUF vocabularies, and the tokenizers they come from; see vocabularies.py."""
    return _load("vocabularies")


@pytest.fixture(scope="module")
def infill_model() -> Iterator[halfbyte.Model]:
    """The trained infilling model that the package brings."""
    with halfbyte.load("infill-10m", threads=2) as model:
        yield model
