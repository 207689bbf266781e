"""Quantizing with calibration: a matrix's errors are chosen to cancel out in what it computes.

A plain quantizer rounds each weight for itself. Here a text goes through the model, and of each
matrix's inputs x the Hessian H = sum x x^T is kept: an error e of a row costs e H e^T. Three steps
bring that down, within the block formats as they are:

    1. block by block, scales are fitted to the weights, with H's diagonal as importance, and the
       codes are rounded column by column, each error fed forward into the columns to come (GPTQ);
    2. d and m of each block are fitted again, now under the whole of H;
    3. each code moves to where the cost is least, until none does; 2 and 3 are repeated.

Layers are calibrated in order, with inputs computed by the already quantized ones before them.

Memory: for K inputs 4 K^2 bytes for H and 16 K^2 more while it is factored (K = 11008: 0.5 and
1.9 GB), the hidden states of the text, and one layer in floats.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.quantizers.code_search import descend, feed
from halfbyte.kernels.quantizers.grids import (
    SUB_BLOCK,
    SUPPORTED,
    Grid,
    join_grids,
    read_grid,
    write_grid,
)
from halfbyte.kernels.quantizers.quantize import dequantize, quantize
from halfbyte.progress import Progress, silent
from halfbyte.quality.float_model import FloatModel, Ids, chunks
from halfbyte.quality.layer_source import F32, LayerSource
from halfbyte.quality.routing import split_name

log = logging.getLogger(__name__)

U8 = NDArray[np.uint8]

# Added to H's diagonal, as a share of its mean: what the text does not show is not free.
_DAMPING = 0.01
_BY_IMPORTANCE = ("Q2_K", "Q3_K")
_N_FITS = 2  # of a block's scales before its codes are fed forward
_N_ROUNDS, _N_PASSES = 2, 4
_N_CHUNK_WEIGHTS = 1 << 23


class Hessian:
    """Sum of x x^T over the inputs of a matrix, (K, K)."""

    def __init__(self, n: int) -> None:
        self.sum: F32 = np.zeros((n, n), np.float32)

    def add(self, x: F32) -> None:
        """Count inputs (tokens, K)."""
        self.sum += x.T @ x

    @property
    def importance(self) -> F32:
        """The diagonal, its mean 1: in proportion to the mean squares of the inputs."""
        diagonal = self.sum.diagonal().astype(np.float64)
        return (diagonal / (diagonal.mean() or 1.0)).astype(np.float32)

    def damped(self) -> F32:
        """H with its diagonal raised, so that it can be inverted."""
        out = self.sum.copy()
        mean = float(out.diagonal().mean(dtype=np.float64))
        out[np.diag_indices_from(out)] += np.float32(_DAMPING * mean or 1.0)
        return out


def calibrate_model(
    source: LayerSource,
    ids: Ids,
    formats: Mapping[str, BlockFormat],
    pool: Pool,
    *,
    progress: Progress = silent,
) -> Iterator[tuple[str, U8]]:
    """Quantize a model's matrices, calibrated on windows of tokens.

    Args:
        source: the model in floats.
        ids: int64 (B, T).
        formats: matrix -> its type, by GGUF name. Q2_K and Q3_K weigh errors by the inputs'
            importance only; F16, Q8_0, Q6_K, and the embedding, are quantized plainly.
        pool: threads for the codes; the rest is NumPy's.
        progress: called with ("calibrate", layers done, layers in all).

    Yields:
        (name, bytes as uint8 (rows, row bytes)): the embedding, each layer's matrices in the order
        of FloatModel.groups, and the output matrix, if it is one of its own.
    """
    model = FloatModel(source)
    name = "token_embd.weight"
    embedding = source.tensor(name)
    data = quantize(embedding, formats[name], threads=pool.n_threads)
    yield name, data
    x = model.embed(ids, dequantize(data, formats[name], embedding.shape[1]))
    del embedding, data
    n_layers = source.config.n_layers
    for i in range(n_layers):
        weights = model.layer_weights(i)
        for group in model.groups(i):
            hessians = _inputs_of(model, i, weights, x, group)
            for short in group:
                name = f"blk.{i}.{short}.weight"
                w = weights[short]
                data = _calibrate_all(pool, w, hessians, formats[name])
                weights[short] = dequantize(data, formats[name], w.shape[-1]).reshape(w.shape)
                yield name, data
            if len(hessians) > 1:
                _say_unreached(i, group, hessians, len(w))
        model.layer(i, weights, x)
        progress("calibrate", i + 1, n_layers)
    if "output.weight" in source:
        hessian = Hessian(source.config.dim)
        for _ in model.logits(x, lambda _, inputs: hessian.add(inputs)):
            pass
        output = source.tensor("output.weight")
        yield "output.weight", calibrate(pool, output, hessian, formats["output.weight"])


def _calibrate_all(
    pool: Pool, w: F32, hessians: Mapping[int | None, Hessian], fmt: BlockFormat
) -> U8:
    """A matrix's bytes, or those of all experts' matrices (E, R, K).

    An expert that the text did not reach is calibrated on what all the others get.
    """
    if w.ndim == 2:
        return calibrate(pool, w, hessians[None], fmt)
    return np.concatenate(
        [calibrate(pool, one, hessians.get(e, hessians[None]), fmt) for e, one in enumerate(w)]
    )


def _say_unreached(
    i: int, group: tuple[str, ...], hessians: Mapping[int | None, Hessian], n: int
) -> None:
    unreached = [e for e in range(n) if e not in hessians]
    if unreached:
        log.warning(
            "layer %d, %s: the text reached %d of %d experts; the others are calibrated on what "
            "these get", i, ", ".join(group), n - len(unreached), n,
        )  # fmt: skip


def calibrate(pool: Pool, w: F32, hessian: Hessian, fmt: BlockFormat) -> U8:
    """A matrix's bytes, uint8 (R, row bytes), for the weights w (R, K)."""
    if fmt.name not in SUPPORTED:
        importance = hessian.importance if fmt.name in _BY_IMPORTANCE else None
        return quantize(w, fmt, importance=importance, threads=pool.n_threads)
    h = hessian.damped()
    u = inverse_factor(h)
    step = max(1, _N_CHUNK_WEIGHTS // w.shape[1])
    parts = [w[begin : begin + step] for begin in range(0, len(w), step)]
    return np.concatenate([write_grid(_calibrated(pool, part, h, u, fmt)) for part in parts])


def inverse_factor(h: F32) -> F32:
    """The upper triangular U with H^-1 = U^T U, for a positive definite H."""
    # Backwards in rows and columns H = L L^T, which is R R^T with an upper R forwards: U = R^-1.
    r = np.linalg.cholesky(h[::-1, ::-1].astype(np.float64))[::-1, ::-1]
    return np.triu(np.linalg.inv(r)).astype(np.float32)


def _calibrated(pool: Pool, w: F32, h: F32, u: F32, fmt: BlockFormat) -> Grid:
    fed = w.copy()
    grids = []
    # What an error costs when the columns behind it make up for it as well as they can.
    importance = np.float32(1) / np.square(u.diagonal())
    for begin in range(0, w.shape[1], fmt.block_size):
        here, behind = slice(begin, begin + fmt.block_size), slice(begin + fmt.block_size, None)
        block = np.ascontiguousarray(fed[:, here])
        grid = _fitted(block, fmt, importance[here])
        grid.codes, errors = feed(
            pool, block, u[here, here], grid.steps(), grid.offsets(), grid.levels
        )
        fed[:, behind] -= errors @ u[here, behind]
        grids.append(grid)
    grid = join_grids(grids)
    for _ in range(_N_ROUNDS):
        _refit(grid, w, h)
        gradient = _gradient(grid, w, h)
        descend(pool, gradient, h, grid.steps(), grid.codes, grid.levels, _N_PASSES)
    return grid


def _fitted(w: F32, fmt: BlockFormat, importance: F32) -> Grid:
    """One block per row, its d and m fitted to the weights (R, block size) by importance."""
    grid = read_grid(quantize(w, fmt), fmt)
    for _ in range(_N_FITS):
        gradient = (w - grid.weights()) * importance
        _fit_block(grid, 0, gradient, importance)
        grid.codes = _nearest_codes(grid, w)
    return grid


def _nearest_codes(grid: Grid, w: F32) -> U8:
    shape = (len(w), -1, SUB_BLOCK)
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = (w.reshape(shape) - grid.offsets()[..., None]) / grid.steps()[..., None]
    if grid.format.table:
        middles = (grid.levels[1:] + grid.levels[:-1]) / 2
        codes = np.searchsorted(middles, np.nan_to_num(wanted, nan=-np.inf))
        return codes.astype(np.uint8).reshape(w.shape)
    codes = np.nan_to_num(np.floor(wanted + np.float32(0.5)), nan=0.0)
    return codes.clip(0, grid.format.max_code).astype(np.uint8).reshape(w.shape)


def _refit(grid: Grid, w: F32, h: F32) -> None:
    """Fit d and m of each block in turn, under the whole of H."""
    size = grid.format.block_size
    gradient = _gradient(grid, w, h)
    for i in range(grid.d.shape[1]):
        here = slice(i * size, (i + 1) * size)
        change = _fit_block(grid, i, gradient[:, here], h[here, here])
        gradient -= change @ h[here]


def _gradient(grid: Grid, w: F32, h: F32) -> F32:
    """(w - q) H, (R, K)."""
    error: F32 = w - grid.weights()
    return np.matmul(error, h, dtype=np.float32)


def _fit_block(grid: Grid, i: int, gradient: F32, h: F32) -> F32:
    """Move d and m of block i to where the cost is least, codes as they are.

    Args:
        grid: changed where the rounded numbers lower the cost.
        i: the block.
        gradient: (w - q) H of its columns, (R, n).
        h: H of its columns, (n, n), or its diagonal (n,).

    Returns:
        what its weights change by, (R, n).
    """
    a, b = grid.directions(i)
    a_h, b_h = (x @ h if h.ndim == 2 else x * h for x in (a, b))
    aa, ab, bb = (a_h * a).sum(1), (a_h * b).sum(1), (b_h * b).sum(1)
    a_g, b_g = (a * gradient).sum(1), (b * gradient).sum(1)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if grid.format.addend:
            determinant = aa * bb - ab * ab
            d_step = (a_g * bb - b_g * ab) / determinant
            m_step = (b_g * aa - a_g * ab) / determinant
        else:
            d_step, m_step = a_g / aa, np.zeros_like(aa)
        d, m = (
            (old + step).astype(np.float16).astype(np.float32)
            for old, step in ((grid.d[:, i], d_step), (grid.m[:, i], m_step))
        )
        d_step, m_step = d - grid.d[:, i], m - grid.m[:, i]
        gain = 2 * (d_step * a_g + m_step * b_g)
        gain -= d_step * d_step * aa + 2 * d_step * m_step * ab + m_step * m_step * bb
    is_better = gain > 0  # not where there is no number
    d_step, m_step = (np.where(is_better, step, np.float32(0)) for step in (d_step, m_step))
    grid.d[:, i] += d_step
    grid.m[:, i] += m_step
    change: F32 = d_step[:, None] * a + m_step[:, None] * b
    return change


def _inputs_of(
    model: FloatModel, i: int, weights: Mapping[str, F32], x: F32, group: tuple[str, ...]
) -> dict[int | None, Hessian]:
    """The Hessian of a group's inputs in layer i, the matrices before it being `weights`.

    Of experts each one's that has any, and under None that of all of them.
    """
    n = weights[group[0]].shape[-1]
    hessians: dict[int | None, Hessian] = {None: Hessian(n)}
    for chunk in chunks(x):
        is_reached = False
        for names, inputs in model.layer_steps(i, weights, chunk):
            parts = [split_name(name) for name in names]
            if tuple(name for name, _ in parts) == group:
                is_reached = True
                for expert in {None, parts[0][1]}:
                    hessians.setdefault(expert, Hessian(n)).add(inputs)
            elif is_reached:
                break
    return hessians
