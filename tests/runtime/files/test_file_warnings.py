"""Warnings about files, each once in a conversion."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

import halfbyte
from halfbyte.converting.sources import source
from halfbyte.files.file_warnings import said_once, warn_about

LOG = logging.getLogger("halfbyte.test")


def test_without_a_conversion_each_is_said(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        warn_about(LOG, "a%s.part", "%d of %s", 1, "two")
    assert caplog.messages == ["a%s.part: 1 of two"] * 2


def test_of_a_file_being_made_the_source_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    with said_once(Path("s")):
        for path in ("x.part", "s", Path("x.part")):
            warn_about(LOG, path, "odd")
        warn_about(LOG, "x.part", "odder")
    warn_about(LOG, "s", "odd")
    assert caplog.messages == ["s: odd", "s: odder", "s: odd"]


def test_a_conversion_says_what_is_odd_once(
    tiny_folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def add_config(meta: Any, config: Any, original: Any = source.add_config) -> None:
        original(meta, config)
        meta.add_uint32("llama.invented", 3)

    monkeypatch.setattr(source, "add_config", add_config)
    first, second = tmp_path / "first.gguf", tmp_path / "second.gguf"
    halfbyte.convert(tiny_folder, first, type="f32", measure=False)
    word = "keys that are not known here: 'llama.invented'"
    assert caplog.messages == [f"{tiny_folder}: {word}"]
    caplog.clear()
    halfbyte.convert(first, second, type="keep")
    assert [text for text in caplog.messages if word in text] == [f"{first}: {word}"]
