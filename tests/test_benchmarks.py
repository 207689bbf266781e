"""What the benchmarks work out of what they measure."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.measured import record

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"


def test_ratios_are_of_medians_and_of_rounds(load: Callable[[str], Any]) -> None:
    cells = load("cells")
    facts = record(cells, cells.prefill(512, 2.0), [20.0, 30.0, 10.0], [10.0, 10.0, 20.0])
    assert (facts["ratio"], facts["ratio_min"], facts["ratio_max"]) == (2.0, 0.5, 3.0)
    assert facts["is_met"] is True
    assert facts["gmac_s"] == 40.0 and facts["peak_share"] == pytest.approx(0.04)
    assert "bandwidth_share" not in facts


def test_decode_reads_weights_and_cache(load: Callable[[str], Any]) -> None:
    cells = load("cells")
    facts = record(cells, cells.decode(10, 95, target=2.0), [10.0], [9.0])
    # 1 GB of weights, and 100 positions of a megabyte on average.
    assert facts["gb_s"] == pytest.approx(11.0)
    assert facts["bandwidth_share"] == pytest.approx(0.55)
    assert facts["is_met"] is False
    near = record(cells, cells.decode(10, 95, target=2.0), [17.0], [16.0])
    assert near["bandwidth_share"] >= cells.NEAR_BANDWIDTH and near["is_met"] is True


def test_a_batch_shares_the_weights(load: Callable[[str], Any]) -> None:
    cells = load("cells")
    facts = record(cells, cells.batch(4, 10), [40.0], [20.0])
    assert facts["n"] == 40 and facts["is_met"] is None
    assert facts["gb_s"] == pytest.approx(40 * (0.25 + 0.005))
    assert facts["peak_share"] == pytest.approx(0.08)


def test_every_group_of_the_suite_fits_its_context(load: Callable[[str], Any]) -> None:
    suite = load("suite")
    for group in suite.groups().values():
        for cell in group.cells:
            command, a, b = (*cell.words, 0)[:3]
            needed = {"prefill": a, "decode": a + b, "batch": b}[command]
            assert needed <= group.ctx and (command != "batch" or a <= group.sequences)
            assert cell.target is not None


def test_an_environment_is_stamped_with_its_flags(load: Callable[[str], Any]) -> None:
    environments = load("environments")
    stamps = {name: environments.stamp(name) for name in environments.REQUIREMENTS}
    assert len(set(stamps.values())) == len(stamps)
    assert all("GGML_NATIVE=OFF" in stamps[name] for name in ("peer-avx2", "peer-avx512"))


def test_a_worker_that_does_not_answer_is_killed(
    load: Callable[[str], Any], tmp_path: Path
) -> None:
    protocol = load("protocol")
    script = tmp_path / "slow.py"
    script.write_text(
        "import sys, time\n"
        f"sys.path.insert(0, {str(BENCHMARKS)!r})\n"
        "from protocol import serve, take_stdout\n"
        "serve({'a': 1}, {'sleep': lambda s: time.sleep(float(s)) or {'b': 2}}, take_stdout())\n"
    )
    with protocol.Worker(sys.executable, script) as worker:
        assert worker.info == {"a": 1}
        assert worker.ask("sleep", 0, timeout_s=60) == {"b": 2}
        with pytest.raises(TimeoutError):
            worker.ask("sleep", 100, timeout_s=0.1)
