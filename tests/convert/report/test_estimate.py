"""The estimate of a conversion's time: parts are timed, and stand for all of the work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halfbyte import system
from halfbyte.conversion import plan_conversion
from halfbyte.converting.report import estimate as module
from halfbyte.quality import float_model

PER_WEIGHT_S, PER_STAGE_S = 1e-6, 1e-3


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A clock that stands still but where it is moved; the call moves it."""
    now = 0.0

    def forward(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: now))
    return forward


def test_a_sample_of_each_type_stands_for_all_of_its_weights(
    clock: Callable[[float], None], tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_conversion(tiny_folder, type="q4_1")
    slower, real = {"F32": 0.0, "Q4_1": 2.0, "Q8_0": 3.0}, module.quantize

    def quantize(x: Any, fmt: Any, **options: Any) -> Any:
        clock(PER_WEIGHT_S * slower.get(fmt.name, 1.0) * x.size)
        return real(x, fmt, **options)

    monkeypatch.setattr(module, "quantize", quantize)
    monkeypatch.setattr(module, "_SAMPLES", (1 << 10,))
    system.set_up_kernels()
    wanted = sum(t.n_weights * slower.get(t.format.name, 1.0) for t in plan.tensors)
    found, _ = module._by_formats(plan, threads=1)
    assert found == pytest.approx(PER_WEIGHT_S * wanted)


def test_a_layer_and_a_piece_of_text_stand_for_all(
    clock: Callable[[float], None], tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage takes a second for a number of tokens, and there are two models of eight windows."""
    plan, real = plan_conversion(tiny_folder, type="q8_0"), float_model._State.run

    def run(state: Any, stage: Any) -> None:
        clock(PER_STAGE_S * len(state["x"]))
        real(state, stage)

    monkeypatch.setattr(float_model._State, "run", run)
    layer = module._Layer(plan)
    stages = [len(group) for group in (layer._model._layers[0], layer._model._behind)]
    tokens = 8 * min(512, plan.config.n_ctx_train)
    wanted = 2 * tokens * (plan.config.n_layers * stages[0] + stages[1])
    assert layer.measuring_s() == pytest.approx(PER_STAGE_S * wanted)
    assert len(layer.inputs) == 4 and len(layer.seconds) == 5
