"""Timing each kernel of a step: what is timed, not how long it takes."""

from __future__ import annotations

import re

import pytest

import halfbyte
from halfbyte import cli
from halfbyte.engine import profile as ops


@pytest.fixture(scope="module")
def report(infill_model: halfbyte.Model) -> ops.Report:
    return ops.measure(infill_model.engine)


def test_every_matrix_is_timed_once(report: ops.Report, infill_model: halfbyte.Model) -> None:
    n_matrices = 7 * infill_model.config.n_layers + 1
    for phase in (report.decode, report.prefill):
        products = [op for op in phase.ops if " x " in op.name]
        assert sum(op.count for op in products) == n_matrices
        assert len({op.name for op in products}) == len(products)


def test_decode_reads_all_weights(report: ops.Report, infill_model: halfbyte.Model) -> None:
    nbytes = sum(1e9 * op.gb_s * op.seconds for op in report.decode.ops if " x " in op.name)
    assert nbytes == pytest.approx(infill_model.nbytes_per_token)


def test_prefill_multiplies_each_weight_once_per_token(
    report: ops.Report, infill_model: halfbyte.Model
) -> None:
    matrices = infill_model.engine.weights.matrices
    weights = sum(m.n_rows * m.n_inputs for n, m in matrices.items() if n.startswith("blk."))
    products = [op for op in report.prefill.ops if " x " in op.name]
    inner = [op for op in products if not op.name.startswith("output:")]
    macs = sum(1e9 * op.gmac_s * op.seconds for op in inner)
    assert macs == pytest.approx(report.prefill.n_tokens * weights)


def test_shares_and_rest_make_a_step(report: ops.Report) -> None:
    for phase in (report.decode, report.prefill):
        flat = [op for op in phase.ops if re.search(r"after [1-9]", op.name) is None]
        assert {"embedding", "attention after 0"} < {op.name for op in flat}
        assert sum(op.seconds for op in flat) + phase.rest_s == pytest.approx(phase.seconds)
        assert all(op.share == op.seconds / phase.seconds for op in flat)
    assert report.read_bandwidth > 0 and report.int8_peak > 0


def test_the_model_computes_the_same_afterwards(
    report: ops.Report, infill_model: halfbyte.Model
) -> None:
    before = infill_model.logits([1, 2, 3])
    ops.measure(infill_model.engine)
    assert (infill_model.logits([1, 2, 3]) == before).all()


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "-m", "infill-10m", "--ops", "-t", "2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^decode, 1 token: .* ms a step$", out, re.MULTILINE)
    assert re.search(r"^prefill, 256 tokens: .* ms a step$", out, re.MULTILINE)
    assert len(re.findall(r"^  norm, quantize  .* (\d+%|cached)$", out, re.MULTILINE)) == 1
    assert len(re.findall(r"^  ffn_gate, ffn_up: .* (?:\d+%|cached)$", out, re.MULTILINE)) == 2
    assert "GB/s" in out and "GMAC/s" in out
