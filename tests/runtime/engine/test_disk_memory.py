"""Experts that memory cannot hold: in a file without a name, with the same results."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import halfbyte
from halfbyte import loading, system
from halfbyte.engine.disk_memory import on_disk
from halfbyte.engine.footprint import MARGIN_NBYTES, Memory, stays_on_disk
from halfbyte.errors import EngineError
from halfbyte.gguf.file import GGUFFile


def test_an_array_on_disk_is_written_and_leaves_nothing(tmp_path: Path) -> None:
    array = on_disk("weights", 10_000, tmp_path / "new")
    array[:] = np.arange(10_000) % 251
    assert (array == np.arange(10_000) % 251).all()
    assert not list((tmp_path / "new").iterdir())


def test_what_a_disk_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"for weights fit neither .* GB free"):
        on_disk("weights", 1 << 60, tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="HALFBYTE_CACHE"):
        on_disk("weights", 10, tmp_path / "file")


def test_experts_stay_there_where_they_are_too_much() -> None:
    need = Memory(weights=1000, kv_cache=500, buffers=10, tokenizer=1, experts=900)
    least = 1510 + MARGIN_NBYTES  # its keys and values have to fit beside them, and some more
    assert [stays_on_disk(need, n) for n in (None, least, least - 1)] == [False, False, True]
    dense = Memory(weights=1000, kv_cache=500, buffers=10, tokenizer=1)
    assert not stays_on_disk(dense, 5)


def test_a_file_that_does_not_fit_beside_its_weights_is_let_go(
    tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Page by page, as it is packed; where it fits, the next load finds it in memory."""
    path = tiny_gguf
    advised: list[int] = []

    def advise(_: int, begin: int, nbytes: int, advice: int) -> None:
        if advice == os.POSIX_FADV_DONTNEED:
            advised.append(nbytes)

    monkeypatch.setattr(os, "posix_fadvise", advise)
    with halfbyte.load(path, threads=1) as model:
        expected = model.logits([1, 2, 3])
        nbytes = len(model.engine.weights.memory)
    assert not advised
    for room, lets_go in ((path.stat().st_size, False), (path.stat().st_size - 1, True)):
        asked = iter([nbytes + room])
        monkeypatch.setattr(system, "available_memory", lambda asked=asked: next(asked, None))
        with halfbyte.load(path, threads=1) as model:
            assert (model.logits([1, 2, 3]) == expected).all()
        assert bool(advised) == lets_go
    with GGUFFile.open(path) as file:
        matrices = sum(info.nbytes for info in file.tensors.values() if info.is_matrix)
    assert sum(advised) >= matrices


def test_a_model_whose_experts_stay_on_disk(
    benchmark_module: Callable[[str], ModuleType], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    tiny_llama = benchmark_module("tiny_llama")
    tiny = tiny_llama.Tiny("oss", 2, 128, 96, 2, 4, 2, 32, 323, 1e4, tied=False, kind="gpt_oss")
    tiny_llama.save(tiny, tmp_path / "hf")
    path = tmp_path / "m.gguf"
    halfbyte.convert(tmp_path / "hf", path, type="f32", measure=False)
    ids = list(range(1, 40))
    with halfbyte.load(path, threads=1) as model:
        expected, weights = model.logits(ids), model.engine.weights
        assert not len(weights.on_disk)
    monkeypatch.setattr(loading, "stays_on_disk", lambda need, available: True)
    with caplog.at_level(logging.WARNING), halfbyte.load(path, threads=1) as model:
        assert (model.logits(ids) == expected).all()
        on_disk_now = model.engine.weights.on_disk
        assert len(on_disk_now) >= 2 * 3 * 6 * 128 * 96 * 4
        assert len(model.engine.weights.memory) + len(on_disk_now) < len(weights.memory) + 200
    assert any("do not fit memory" in record.getMessage() for record in caplog.records)
