"""Biases."""

from __future__ import annotations

import numpy as np

from halfbyte.generation.rules.logit_bias import LogitBias


def test_biases_are_added() -> None:
    rule, row = LogitBias({1: 0.5, 3: -np.inf}), np.zeros(4, np.float32)
    rule.change(row)
    assert row.tolist() == [0.0, 0.5, 0.0, -np.inf]
    rule.accept(1)
    rule.rewind(1)
    rule.change(row)
    assert row.tolist() == [0.0, 1.0, 0.0, -np.inf]
