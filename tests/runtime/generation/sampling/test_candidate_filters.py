"""Filters by hand; test_chain.py has llama.cpp's results and a slow twin."""

from __future__ import annotations

import math

import numpy as np
import pytest

from halfbyte.generation.sampling import candidate_filters as filters


def test_top_n_sigma() -> None:
    logits = np.array([3.0, 1.0, -1.0, -math.inf])  # deviation sqrt(8 / 3) = 1.63
    assert filters.top_n_sigma(logits, 1.0).tolist() == [3.0, -math.inf, -math.inf, -math.inf]
    assert filters.top_n_sigma(logits, 1.3).tolist() == [3.0, 1.0, -math.inf, -math.inf]
    assert filters.top_n_sigma(logits, 0.0) is logits


def test_typical_p() -> None:
    # Entropy 1.75 bits; surprises 1, 2, 3, 3: tokens 1, 0, then 2 and 3, alike.
    probs = np.array([0.5, 0.25, 0.125, 0.125, 0.0])
    kept = [filters.typical_p_indices(probs, p) for p in (0.0, 0.24, 0.25, 0.75, 0.874, 0.875)]
    assert [k.tolist() for k in kept if k is not None] == [
        [1], [1], [0, 1], [0, 1, 2], [0, 1, 2], [0, 1, 2, 3],
    ]  # fmt: skip
    assert filters.typical_p_indices(probs, 1.0) is None


def test_typical_p_looks_as_far_as_it_has_to() -> None:
    kept = filters.typical_p_indices(np.full(5000, 1 / 5000), 0.5)
    assert kept is not None and kept.tolist() == list(range(2501))


def test_xtc() -> None:
    probs = np.array([0.2, 0.4, 0.1, 0.2, 0.1])
    kept = filters.xtc_indices(probs, 0.2)
    assert kept is not None and kept.tolist() == [2, 3, 4]
    assert filters.xtc_indices(probs, 0.3) is None  # one alone stays
    assert filters.xtc_indices(np.array([0.5, 0.5]), 0.51) is None


def test_top_h() -> None:
    # Shares of the entropy of 1.75 bits: 0.5, 0.5, 0.375, 0.375 bits.
    probs = np.array([0.125, 0.5, 0.25, 0.0, 0.125])
    kept = [filters.top_h_indices(probs, h).tolist() for h in (0.0, 0.56, 0.58, 0.78, 0.8, 1.0)]
    assert kept == [[1], [1], [1, 2], [1, 2], [0, 1, 2], [0, 1, 2, 3, 4]]
    many = np.full(200, 1 / 200)
    assert filters.top_h_indices(many, 0.999).tolist() == list(range(99))


def test_cutoffs() -> None:
    probs = np.array([0.5, 0.25, 0.125, 0.125, 0.0])
    cuts = [filters.cutoff_indices(probs, least).tolist() for least in (0.1, 0.2, 0.5, 0.9)]
    assert cuts == [[0, 1, 2, 3], [0, 1], [0], [0]]
    assert filters.eta(np.array([1.0, 0.0]), 0.04) == pytest.approx(0.04)
    assert filters.eta(probs, 0.04) == pytest.approx(0.04)
    assert filters.eta(np.full(1000, 1e-3), 0.04) == pytest.approx(0.2 / 1000)


def test_dynamic_temperature() -> None:
    sure, unsure = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    assert filters.dynamic_temperature(sure, 1.0, 0.5, 1.0) == 0.5
    assert filters.dynamic_temperature(unsure, 1.0, 0.5, 1.0) == pytest.approx(1.5)
    assert filters.dynamic_temperature(sure, 0.3, 0.5, 1.0) == 0.0
    assert filters.dynamic_temperature(np.array([1.0]), 0.3, 0.5, 1.0) == 0.3
    half = np.array([0.5, 0.5, 0.0, 0.0])  # half of the entropy that four could have
    assert filters.dynamic_temperature(half, 1.0, 1.0, 2.0) == pytest.approx(2 * 0.25)
