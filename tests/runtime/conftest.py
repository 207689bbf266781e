"""Fixtures of the runtime's tests."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import halfbyte
from halfbyte.planning import chat_rules
from halfbyte.tokenizer import Tokenizer


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


@pytest.fixture(scope="module", params=[3, 4], ids=["control", "user-defined"])
def open_with(
    request: pytest.FixtureRequest, vocabularies: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Tokenizer]:
    """A vocabulary whose marks are control tokens or visible ones, with this template."""
    from played_chat import SPECIALS

    made = vocabularies.train_byte_level("smollm", SPECIALS)
    folder = tmp_path_factory.mktemp("chats")

    @cache
    def open_with(template: str) -> Tokenizer:
        def fill(writer: Any) -> None:
            writer.add_eos_token_id(made.id_of("<|im_end|>"))
            writer.add_chat_template(template)

        path = made.write(folder / "m.gguf", special_type=request.param, fill=fill)
        return Tokenizer.from_path(path)

    return open_with


@pytest.fixture
def unenforced(monkeypatch: pytest.MonkeyPatch) -> None:
    """llguidance is not there."""

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(chat_rules, "imported", missing)
