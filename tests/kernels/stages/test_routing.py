"""Who goes to which expert: kernels against NumPy, and what is defined of equal scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from halfbyte.engine.stage_words import float_word, stage_words
from halfbyte.families.config import GATINGS, ExpertsConfig
from halfbyte.kernels.stages import record, routing
from halfbyte.quality.routing import by_expert, route

F32 = NDArray[np.float32]
_GATINGS = dict(zip(GATINGS, routing.GATINGS, strict=True))


def _routed(e: ExpertsConfig, logits: F32, bias: F32 | None = None) -> dict[str, Any]:
    """What the kernels make of rows of logits: ids, weights, and the plan."""
    n, width = len(logits), -(-e.n_experts // 32) * 32
    padded = np.zeros((n, width), np.float32)
    padded[:, : e.n_experts] = logits
    made = {
        "active": np.zeros((e.n_experts, 3), np.int64), "ids": np.zeros((n, e.n_used), np.int64),
        "weights": np.zeros((n, e.n_used), np.float32), "rows": np.zeros(n * e.n_used, np.int64),
        "row_weights": np.zeros(n * e.n_used, np.float32),
    }  # fmt: skip
    plan = np.array([0, *(made[name].ctypes.data for name in record.PLAN._fields[1:])], np.int64)
    work, step = np.zeros(1 << 16, np.uint8), np.zeros(len(record.STEP), np.int64)
    step[record.STEP.n_tokens // 8], step[record.STEP.work // 8] = n, work.ctypes.data
    words = stage_words(
        record.ROUTING, record.CALL, plan=plan.ctypes.data, n_experts=e.n_experts,
        n_used=e.n_used, routed=padded.ctypes.data, routed_stride=4 * width,
        gating=_GATINGS[e.gating], normalizes=int(e.normalizes), scale=float_word(e.scale),
        bias=0 if bias is None else bias.ctypes.data, n_groups=e.n_groups,
        n_groups_used=e.n_groups_used, n_group_best=2,
    )  # fmt: skip
    for chunk in range(2):
        routing.route.call(words.ctypes.data, step.ctypes.data, chunk, 2)
    routing.sort_rows.call(words.ctypes.data, step.ctypes.data, 0, 1)
    return {**made, "active": made["active"][: plan[0]]}


@pytest.mark.parametrize(
    "e",
    [
        ExpertsConfig(128, 8, 32),
        ExpertsConfig(60, 4, 32, normalizes=False),
        ExpertsConfig(7, 7, 32, gating="softmax_of_used", normalizes=False),
        ExpertsConfig(24, 4, 32, gating="sigmoid", scale=2.5, n_groups=6, n_groups_used=3),
        ExpertsConfig(1, 1, 32),
    ],
)
@pytest.mark.parametrize("is_biased", [False, True])
def test_choice_weights_and_order(e: ExpertsConfig, is_biased: bool) -> None:
    rng = np.random.default_rng(1)
    logits = (3 * rng.standard_normal((19, e.n_experts))).astype(np.float32)
    bias = rng.standard_normal(e.n_experts).astype(np.float32) if is_biased else None
    got, (ids, weights) = _routed(e, logits, bias), route(e, logits, bias)
    assert (got["ids"] == ids).all()
    np.testing.assert_allclose(got["weights"], weights, rtol=1e-5)
    begin = 0
    for row, (expert, rows, of_rows) in zip(got["active"], by_expert(ids, weights), strict=True):
        assert row.tolist() == [expert, begin, len(rows)]
        here = slice(begin, begin + len(rows))
        assert (got["rows"][here] == rows).all()
        np.testing.assert_allclose(got["row_weights"][here], of_rows, rtol=1e-5)
        begin += len(rows)
    assert begin == ids.size


def test_of_equal_experts_the_first_is_chosen() -> None:
    e = ExpertsConfig(40, 3, 32)
    logits = np.zeros((2, 40), np.float32)
    logits[1, [5, 20, 21, 39]] = 1
    assert _routed(e, logits)["ids"].tolist() == [[0, 1, 2], [5, 20, 21]]


@pytest.mark.parametrize("gating", GATINGS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_logit_that_is_no_number_makes_all_weights_none(gating: str, bad: float) -> None:
    """Also where that expert would not be chosen; the other rows have theirs."""
    e = ExpertsConfig(8, 2, 32, gating=gating)
    logits = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
    logits[1, 6] = bad
    got = _routed(e, logits)
    assert np.isnan(got["weights"][1]).all()
    assert len(set(got["ids"][1].tolist())) == 2 and (got["ids"] < 8).all()
    assert np.isfinite(got["weights"][[0, 2]]).all()
