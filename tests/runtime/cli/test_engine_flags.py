"""Flags of how a model is computed are the engine's own choices."""

from __future__ import annotations

from typing import Any

from halfbyte.cli import engine_flags
from halfbyte.engine.kv_cache import KV_TYPES
from halfbyte.kernels.layouts.activations import ARITHMETICS


def test_choices_are_the_engines() -> None:
    assert set(engine_flags.KV_TYPES) == set(KV_TYPES)
    assert set(engine_flags.ARITHMETICS) == set(ARITHMETICS)


def test_the_arithmetic_arrives(run: Any, model: Any) -> None:
    assert run("complete", "-p", "x", "--arithmetic", "bf16").code == 0
    assert model.load_args["arithmetic"] == "bf16"
    outcome = run("complete", "-p", "x", "--arithmetic", "fp16")
    assert outcome.code == 2 and "argument --arithmetic: invalid choice: 'fp16'" in outcome.err


def test_the_window_arrives(run: Any, model: Any) -> None:
    assert run("complete", "-p", "x").code == 0
    assert not {"attention_window", "attention_sinks"} & set(model.load_args)
    more = ("--attention-window", "512", "--attention-sinks", "0")
    assert run("complete", "-p", "x", *more).code == 0
    assert model.load_args["attention_window"] == 512
    assert model.load_args["attention_sinks"] == 0
