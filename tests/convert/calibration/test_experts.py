"""Importance and calibration of each expert for itself, and of those that no token reaches."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from halfbyte.converting.calibration.gptq import calibrate_model
from halfbyte.converting.calibration.importance import collect_importance
from halfbyte.families.config import ExpertsConfig, ModelConfig, RopeConfig
from halfbyte.families.registry import family_of
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.pool import Pool
from halfbyte.quality.float_model import FloatModel
from halfbyte.quality.layer_source import F32

CONFIG = ModelConfig(
    "qwen3moe", "", 64, 64, 1, 2, 1, 32, 50, 64, 1e-5, RopeConfig(1e4), tied=True,
    experts=ExpertsConfig(6, 2, 32),
)  # fmt: skip
IDS = np.random.default_rng(0).integers(0, 50, (2, 12))


class _Source:
    """Random weights, and a router that never takes the experts 4 and 5."""

    config = CONFIG

    def __init__(self) -> None:
        rng = np.random.default_rng(1)
        self._tensors: dict[str, F32] = {}
        for spec in family_of(CONFIG).tensors(CONFIG):
            if not spec.may_lack:
                values = rng.standard_normal(spec.shape, np.float32)
                self._tensors[spec.name] = values if len(spec.shape) > 1 else np.abs(values)
        self._tensors["token_embd.weight"] = np.abs(self._tensors["token_embd.weight"])
        router = self._tensors["blk.0.ffn_gate_inp.weight"]
        self._tensors["blk.0.ffn_gate_inp.weight"] = router / 64
        # What every token shares is large: it decides about two experts.
        self._tensors["blk.0.attn_output.weight"] *= 0
        router[:4], router[4:] = np.abs(router[:4]), -np.abs(router[4:])
        self._tensors["blk.0.ffn_gate_inp.weight"] = router / 64

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def tensor(self, name: str) -> F32:
        return self._tensors[name]


def test_importance_is_each_experts_own(caplog: pytest.LogCaptureFixture) -> None:
    found = collect_importance(FloatModel(_Source()), IDS).means
    gate, down = (found[f"blk.0.ffn_{name}_exps.weight"] for name in ("gate", "down"))
    assert gate.shape == (6, 64) and down.shape == (6, 32)
    assert len(np.unique(gate[:4], axis=0)) == 4
    np.testing.assert_allclose(gate[4], gate[:4].mean(0), rtol=1e-5)
    assert (gate[4] == gate[5]).all()
    assert "4 of 6 experts" in caplog.text


def test_experts_are_calibrated(caplog: pytest.LogCaptureFixture) -> None:
    source = _Source()
    formats = {
        spec.name: FORMATS["F32" if "gate_inp" in spec.name else "Q4_0"]
        for spec in family_of(CONFIG).tensors(CONFIG)
        if len(spec.shape) > 1
    }
    pool = Pool(1)
    with caplog.at_level(logging.WARNING):
        made = dict(calibrate_model(source, IDS, formats, pool))
    pool.close()
    assert made.keys() == formats.keys()
    assert made["blk.0.ffn_down_exps.weight"].shape == (6 * 64, 18)
    assert caplog.text.count("reached 4 of 6 experts") == 2
