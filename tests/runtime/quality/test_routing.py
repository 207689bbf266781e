"""Choosing experts in NumPy, against the definition row by row; the kernels' test uses it."""

from __future__ import annotations

import numpy as np

from halfbyte.families.config import ExpertsConfig
from halfbyte.quality.routing import by_expert, expert_name, route, split_name


def test_groups_limit_the_choice() -> None:
    e = ExpertsConfig(6, 2, 32, gating="sigmoid", scale=2.0, n_groups=3, n_groups_used=1)
    # The best expert is alone in its group; two good ones beat it.
    logits = np.array([[3, -9, 2, 1.5, 1, 0]], np.float32)
    ids, weights = route(e, logits, None)
    assert ids.tolist() == [[2, 3]]
    scores = 1 / (1 + np.exp(-logits[0, [2, 3]].astype(np.float64)))
    np.testing.assert_allclose(weights[0], 2 * scores / scores.sum(), rtol=1e-6)


def test_a_bias_chooses_and_does_not_weigh() -> None:
    e = ExpertsConfig(3, 1, 32, normalizes=False)
    ids, weights = route(e, np.zeros((1, 3), np.float32), np.array([0, 0, 1], np.float32))
    assert ids.tolist() == [[2]]
    np.testing.assert_allclose(weights, [[1 / 3]], rtol=1e-6)


def test_rows_by_expert() -> None:
    ids, weights = np.array([[2, 0], [0, 1]]), np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    found = [(e, rows.tolist(), w.tolist()) for e, rows, w in by_expert(ids, weights)]
    assert found == [(0, [0, 1], [0.25, 0.5]), (1, [1], [0.5]), (2, [0], [0.75])]


def test_names_of_experts() -> None:
    assert split_name(expert_name("ffn_up_exps", 12)) == ("ffn_up_exps", 12)
    assert split_name("attn_q") == ("attn_q", None)
