"""A page about one conversion: what it made, what it lost, and where. HTML without anything else.

The plot shows the relative error of each matrix, sqrt(sum (w - w')^2 / sum w^2), over the layers,
a colour for each kind. Colours are those of Okabe and Ito, which colour-blind people tell apart.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from halfbyte.converting.convert import ConversionReport
from halfbyte.converting.target import part_file
from halfbyte.converting.writer import Planned
from halfbyte.errors import ConversionError
from halfbyte.quality.figures import Figures

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F00", "#000000")
_KINDS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "other")
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 900, 380, 70, 20, 50
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; }
svg text { font: 12px system-ui, sans-serif; }
"""

Point = tuple[Planned, float]


def write_report(path: Path, report: ConversionReport) -> None:
    """Write the page, which replaces what is there.

    Raises:
        ConversionError: nothing was measured, or the file cannot be written.
    """
    if report.figures is None:
        raise ConversionError(path, "report", expected="a measured conversion", got="none")
    with part_file(path, force=True) as part:
        part.write_text(page(report, report.figures), "utf-8")


def page(report: ConversionReport, figures: Figures) -> str:
    """The page's HTML."""
    points = [
        (tensor, error)
        for tensor, error in zip(report.tensors, figures.tensor_errors, strict=True)
        if len(tensor.shape) > 1
    ]
    title = html.escape(f"{Path(report.path).name}: {report.type}")
    return "\n".join((
        f"<!DOCTYPE html>\n<html lang=en><head><meta charset=utf-8><title>{title}</title>",
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
        *_summary(report, figures),
        "<h2>Relative error of each matrix</h2>",
        *_plot(points),
        "<h2>Matrices</h2>",
        *_table(points),
        "</body></html>\n",
    ))  # fmt: skip


def _summary(report: ConversionReport, f: Figures) -> Iterator[str]:
    yield "<table>"
    for name, value in (
        ("size", f"{report.nbytes / 1e6:.1f} MB, {report.bits_per_weight:.2f} bits per weight"),
        ("mean KL to the source", f"{f.kl_mean:.5f} nats"),
        ("99th percentile", f"{f.kl_p99:.5f} nats"),
        ("same most likely token", f"{f.top1:.2%}"),
        ("perplexity", f"{f.perplexity:.4f} (source {f.perplexity_source:.4f})"),
        ("measured on", f"{f.n_positions} tokens of held-out Python, weights alone"),
        ("source, SHA-256", f.source_sha256),
        ("tensors, SHA-256", f.tensors_sha256),
    ):
        yield f"<tr><td>{name}</td><td>{html.escape(value)}</td></tr>"
    yield "</table>"


def _plot(points: Sequence[Point]) -> Iterator[str]:
    """An SVG: layers to the right, errors upwards, logarithmic."""
    shown = [(tensor, error) for tensor, error in points if error > 0]
    if not shown:
        yield "<p>No matrix differs from its source.</p>"
        return
    low = math.floor(math.log10(min(error for _, error in shown)))
    high = max(math.ceil(math.log10(max(error for _, error in shown))), low + 1)
    columns = 1 + max(_column(tensor) for tensor, _ in shown)

    def x_of(column: float) -> float:
        return _LEFT + (column + 0.5) * (_WIDTH - _LEFT - 130) / max(columns, 1)

    def y_of(error: float) -> float:
        return _TOP + (high - math.log10(error)) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    yield f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="relative errors">'
    for exponent in range(low, high + 1):
        for digit in (1, 2, 5) if exponent < high else (1,):
            value = digit * 10.0**exponent
            y = y_of(value)
            yield f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 130}" stroke="#ddd"/>'
            yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
    step = max(1, columns // 16)
    for column in range(0, columns, step):
        label = "outside" if column == 0 else str(column - 1)
        yield f'<text x="{x_of(column):.1f}" y="{_HEIGHT - 28}" text-anchor="middle">{label}</text>'
    yield f'<text x="{_WIDTH / 2 - 60}" y="{_HEIGHT - 8}" text-anchor="middle">layer</text>'
    for tensor, error in shown:
        kind = _kind(tensor)
        x = x_of(_column(tensor) + (_KINDS.index(kind) - 3.5) * 0.08)
        yield (
            f'<circle cx="{x:.1f}" cy="{y_of(error):.1f}" r="3.5" '
            f'fill="{_COLOURS[_KINDS.index(kind)]}"><title>{html.escape(tensor.name)} '
            f"({tensor.format.name}): {error:.4g}</title></circle>"
        )
    for i, (kind, colour) in enumerate(zip(_KINDS, _COLOURS, strict=True)):
        y = _TOP + 18 * i + 6
        yield f'<circle cx="{_WIDTH - 112}" cy="{y}" r="4" fill="{colour}"/>'
        yield f'<text x="{_WIDTH - 102}" y="{y + 4}">{kind}</text>'
    yield "</svg>"


def _table(points: Sequence[Point]) -> Iterator[str]:
    yield "<table><tr><th>tensor</th><th>type</th><th>shape</th><th>relative error</th></tr>"
    for tensor, error in sorted(points, key=lambda point: -point[1]):
        shape = " x ".join(map(str, tensor.shape))
        yield (
            f"<tr><td>{html.escape(tensor.name)}</td><td>{tensor.format.name}</td>"
            f"<td>{shape}</td><td>{error:.5f}</td></tr>"
        )
    yield "</table>"


def _column(tensor: Planned) -> int:
    """0 for what lies outside the layers."""
    parts = tensor.name.split(".")
    return int(parts[1]) + 1 if parts[0] == "blk" else 0


def _kind(tensor: Planned) -> str:
    kind = tensor.name.split(".")[-2]
    return kind if kind in _KINDS else "other"
