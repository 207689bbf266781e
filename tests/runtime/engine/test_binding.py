"""What binds remembered pages: another file, layout or arithmetic is another binding."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from halfbyte.engine import binding
from halfbyte.engine.binding import Binding
from halfbyte.engine.page_pool import PagePool
from halfbyte.engine.state_layout import StateLayout
from halfbyte.kernels.layouts.kv_pages import KVLayout


def bound(
    model: str = "aa", kv_type: str = "f16", frequency: float = 1.0,
    states: StateLayout | None = None, arithmetic: str = "int8", window: int = 0, sinks: int = 0,
) -> Binding:  # fmt: skip
    layout = KVLayout(2, 3, 24, kv_type)
    engine: Any = SimpleNamespace(
        layout=layout, arithmetic=arithmetic,
        rotation=SimpleNamespace(rows=lambda *at: np.array(at) * frequency),
        pages=PagePool(layout, states=states),
        config=SimpleNamespace(attention_window=window, attention_sinks=sinks),
    )  # fmt: skip
    return Binding.of(engine, model)


def test_it_says_what_pages_depend_on() -> None:
    one = bound()
    assert one == bound() and one.digest == bound().digest
    assert one.layout == {
        "n_layers": 2, "n_kv_heads": 3, "head_dim": 24, "kv_type": "f16",
        "latent": 0, "page": 128, "byteorder": sys.byteorder,
    }  # fmt: skip
    assert one.states == ""


def test_whatever_differs_makes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [bound(), bound(model="bb"), bound(kv_type="f32"), bound(frequency=1.0000001),
            bound(arithmetic="bf16"), bound(window=64), bound(window=64, sinks=4)]  # fmt: skip
    made += [bound(states=StateLayout({1: 0}, n, 64)) for n in (64, 128)]
    monkeypatch.setattr(binding, "_sources_digest", lambda: b"another version")
    made.append(bound())
    assert len({one.digest for one in made}) == 10


def test_all_sources_of_the_arithmetic_are_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    names = binding._SOURCES
    for some in (names, *((name,) for name in names)):
        binding._sources_digest.cache_clear()
        monkeypatch.setattr(binding, "_SOURCES", some)
        digests.add(binding._sources_digest())
    assert len(digests) == 4
    monkeypatch.undo()
    binding._sources_digest.cache_clear()
