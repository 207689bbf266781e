"""Draws KL against bits per weight, from results/conversion.jsonl into results/conversion.png.

Runs in `.venvs/plot`, which has matplotlib; nothing else of the project needs it.
"""

from __future__ import annotations

import matplotlib as mpl
import report_conversion as report

mpl.use("Agg")
import matplotlib.pyplot as plt

# Colours of Okabe and Ito, which colour-blind people tell apart.
STYLES = {
    report.PEER: ("#D55E00", "s"),
    report.IMATRIX: ("#E69F00", "D"),
    report.OURS: ("#0072B2", "o"),
    report.CALIBRATED: ("#009E73", "^"),
}
LABELLED = ("q2_k", "q3_k_m", "q4_0", "q4_k_m", "q5_0", "q5_k_m", "q6_k", "q8_0")


def main() -> None:
    """Draw."""
    rows, _ = report.newest_rows(report.MAIN)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    for maker, (colour, marker) in STYLES.items():
        points = sorted(
            (row["bits"], row["weights"]["kl_mean"])
            for (_, who), row in rows.items()
            if who == maker
        )
        axes.plot(*zip(*points, strict=True), marker, color=colour, label=maker, alpha=0.8)
    for kind in LABELLED:
        row = rows.get((kind, report.OURS))
        if row is not None:
            at = (row["bits"], row["weights"]["kl_mean"])
            axes.annotate(kind, at, xytext=(7, 5), textcoords="offset points", fontsize=8)
    axes.set_yscale("log")
    axes.margins(x=0.08)
    axes.set_xlabel("bits per weight, whole file")
    axes.set_ylabel("mean KL to the source, nats")
    axes.set_title(f"{report.MAIN}: what conversion loses (weights alone)")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(report.HERE.parent / report.PLOT, dpi=110)


if __name__ == "__main__":
    main()
