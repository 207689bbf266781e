"""Cells of a comparison: the same work of two engines, timed in turns.

A cell is a command of ours.py and peer.py and the tokens that it processes. Its rates are set
beside each other, and beside the limits of the machine, which are measured between the rounds:

    of the bandwidth    what the weights and the cache take to be read once per step
    of the int8 peak    what the products with the weights take; attention is not counted
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field
from typing import Any

from protocol import Worker

NEAR_BANDWIDTH = 0.90  # a decode cell that comes so near to the bandwidth has no more to win


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement, named as llama-bench names it, in tokens per second.

    `target` is the least ratio to the peer that is aimed for, if there is one. Decoding has reached
    its target at a `share` of the bandwidth too.
    """

    test: str
    words: tuple[str | int, ...]
    n: int
    target: float | None = None
    share: float = NEAR_BANDWIDTH
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Ours over the peer's, of medians."""
        return statistics.median(self.ours) / statistics.median(self.peer)

    def record(self, info: dict[str, Any], limits: Limits) -> dict[str, Any]:
        """The cell with what follows from it; `info` is what ours.py says of the model."""
        each = [a / b for a, b in zip(self.ours, self.peer, strict=True)]
        facts = {
            "test": self.test,
            "n": self.n,
            "ours": self.ours,
            "peer": self.peer,
            "ratio": self.ratio,
            "ratio_min": min(each),
            "ratio_max": max(each),
            "target": self.target,
        }
        rate, command = statistics.median(self.ours), self.words[0]
        if command != "decode":
            gmac_s = rate * info["macs_per_token"] / 1e9
            facts |= {"gmac_s": gmac_s, "peak_share": 1e9 * gmac_s / limits.macs_per_s}
        if command != "prefill":
            gb_s = self._nbytes_per_token(info) * rate / 1e9
            facts |= {"gb_s": gb_s, "bandwidth_share": 1e9 * gb_s / limits.bytes_per_s}
        return facts | {"is_met": self._is_met(facts)}

    def _nbytes_per_token(self, info: dict[str, Any]) -> float:
        """Bytes to read for a token: the weights, shared by a batch, and its sequence's cache."""
        _, n, last = self.words
        if self.words[0] == "batch":
            n_sequences, n_each, depth = int(n), int(last), 0
        else:
            n_sequences, n_each, depth = 1, int(n), int(last)
        past = depth + n_each / 2
        return info["nbytes_per_token"] / n_sequences + info["kv_nbytes_per_token"] * past

    def _is_met(self, facts: dict[str, Any]) -> bool | None:
        if self.target is None:
            return None
        return self.ratio >= self.target or (
            self.words[0] == "decode" and facts["bandwidth_share"] >= self.share
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What the machine could do, with the worker's threads and ISA."""

    bytes_per_s: float
    macs_per_s: float


def prefill(n: int, target: float | None = None) -> Cell:
    """Process n tokens from an empty cache."""
    return Cell(f"pp{n}", ("prefill", n), n, target)


def decode(
    n: int, depth: int = 0, target: float | None = None, share: float = NEAR_BANDWIDTH
) -> Cell:
    """Generate n tokens one by one after `depth` others."""
    name = f"tg{n}" + (f"@d{depth}" if depth else "")
    return Cell(name, ("decode", n, depth), n, target, share)


def batch(n_sequences: int, n: int, target: float | None = None) -> Cell:
    """Generate n tokens of each of several sequences together; the rate is of all."""
    words = ("batch", n_sequences, n)
    return Cell(f"tg{n} x{n_sequences}", words, n_sequences * n, target)


def measure(cells: list[Cell], ours: Worker, peer: Worker, rounds: int) -> Limits:
    """Fill the cells, after a round that does not count; the machine's limits, medians as well."""
    bandwidths, peaks = [], []
    for i in range(rounds + 1):
        for cell in cells:
            # The one that goes first changes, so that a drift of the machine favours neither.
            turns = [(ours, cell.ours), (peer, cell.peer)]
            for worker, rates in turns if i % 2 else reversed(turns):
                seconds = worker.ask(*cell.words)["seconds"]
                if i:
                    rates.append(cell.n / seconds)
        bandwidths.append(ours.ask("bandwidth")["bytes_per_s"])
        peaks.append(ours.ask("peak")["macs_per_s"])
        print(f"round {i} of {rounds}", file=sys.stderr)
    return Limits(statistics.median(bandwidths[1:]), statistics.median(peaks[1:]))


def show(records: list[dict[str, Any]], limits: Limits) -> None:
    """Print a table of what `Cell.record` gave."""
    print(f"{'test':14}{'llama.cpp':>10}{'halfbyte':>10}{'ratio':>7}  {'rounds':11}{'target':>7}"
          f"{'bandwidth':>11}{'int8 peak':>11}")  # fmt: skip
    for r in records:
        wanted = "" if r["target"] is None else f"{r['target']:.2f}"
        print(
            f"{r['test']:14}{statistics.median(r['peer']):10.1f}{statistics.median(r['ours']):10.1f}"
            f"{r['ratio']:7.2f}  {r['ratio_min']:.2f}-{r['ratio_max']:<6.2f}{wanted:>7}"
            f"{_percent(r.get('bandwidth_share')):>11}{_percent(r.get('peak_share')):>11}"
            + ("  missed" if r["is_met"] is False else "")
        )
    print(f"limits: {limits.bytes_per_s / 1e9:.1f} GB/s read, {limits.macs_per_s / 1e9:.0f} GMAC/s")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
