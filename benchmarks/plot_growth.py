"""Draws the newest line of results/growth.jsonl into results/growth.png.

Runs in `.venvs/plot`, which has matplotlib; nothing else of the project needs it.
"""

from __future__ import annotations

import matplotlib as mpl
import report_speed as report

mpl.use("Agg")
import matplotlib.pyplot as plt

OURS, WORK = "#0072B2", "#999999"


def main() -> None:
    """Draw."""
    line = report.lines("growth")[-1]
    curves = line["curves"]
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.5), layout="constrained")
    (prompt, depth), (batch, threads) = axes

    length, seconds = curves["length"]["length"], curves["length"]["prefill_s"]
    prompt.loglog(length, seconds, "o-", color=OURS, label="measured")
    prompt.loglog(length, [seconds[0] * n / length[0] for n in length], "--", color=WORK,
                  label="in proportion")  # fmt: skip
    _label(prompt, "prompt, tokens", "prefill, seconds")

    depth.plot(length, curves["length"]["decode_tok_s"], "o-", color=OURS)
    depth.set_ylim(bottom=0)
    _label(depth, "depth, tokens", "decode, tokens/s")

    size, rate = curves["batch"]["batch"], curves["batch"]["tok_s"]
    batch.plot(size, rate, "o-", color=OURS, label="measured")
    batch.plot(size, [rate[0] * n for n in size], "--", color=WORK, label="in proportion")
    batch.set_ylim(0, 1.3 * max(rate))
    _label(batch, "sequences together", "decode, tokens/s of all")

    count = curves["threads"]["threads"]
    for name, marker in (("prefill", "o-"), ("decode", "s--")):
        rate = curves["threads"][f"{name}_tok_s"]
        threads.plot(count, [r / rate[0] for r in rate], marker, color=OURS, label=name)
    threads.set_xticks(count)
    threads.set_ylim(bottom=0)
    _label(threads, "threads", "speed, times that of one")

    cpu = line["machine"]["cpu"]
    figure.suptitle(
        f"{report.model_name(line['name'])}, {line['threads']} threads, {cpu}, "
        f"{line['date'][:10]}, commit {line['commit']}", fontsize=10,
    )  # fmt: skip
    figure.savefig(report.HERE.parent / report.PLOT, dpi=110)


def _label(axes: plt.Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(alpha=0.3, which="both")
    if axes.get_legend_handles_labels()[0]:
        axes.legend()


if __name__ == "__main__":
    main()
