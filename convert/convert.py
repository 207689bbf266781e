"""`convert`: the conversion from beginning to end, one tensor at a time."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.convert.hf import HFFolder
from halfbyte.convert.hparams import HParams, read_hparams
from halfbyte.convert.mapping import MappedTensor, map_tensors
from halfbyte.convert.recipe import choose_format, find_type
from halfbyte.convert.vocab import add_vocabulary, read_vocabulary
from halfbyte.convert.writer import Planned, Writer, part_file
from halfbyte.errors import ConversionError
from halfbyte.kernels.quantize import quantize

log = logging.getLogger(__name__)

_CHUNK_WEIGHTS = 1 << 22  # rows are converted in pieces of about 16 MB of floats


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What a conversion made. `fallbacks` are tensors stored as F16 instead of the type."""

    path: str
    type: str
    n_tensors: int
    nbytes: int
    bits_per_weight: float
    fallbacks: tuple[str, ...]
    seconds: float


def convert(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    *,
    type: str = "q8_0",
    name: str | None = None,
    force: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> ConversionReport:
    """Convert a Hugging Face Llama folder to a GGUF file.

    Args:
        src: folder with config.json, safetensors and the tokenizer's files.
        dst: the file to write; it appears when it is complete.
        type: f32, f16, bf16, q8_0, q4_0 or q4_1, for all matrices; vectors stay F32.
        name: general.name in the file; default: the folder's name.
        force: replace an existing file.
        progress: called with ("convert", bytes written, bytes in all).

    Raises:
        RequestError: an unknown type.
        ConversionError: the source cannot be converted or the file cannot be written.
    """
    begin_s = time.perf_counter()
    fmt, file_type = find_type(type)
    target = Path(dst)
    folder = HFFolder(Path(src))
    hparams = read_hparams(folder.path, folder.config or {})
    tensors = map_tensors(folder, hparams)
    plan = [Planned(t.name, t.shape, choose_format(t.shape, fmt)) for t in tensors]
    fallbacks = tuple(p.name for p in plan if len(p.shape) > 1 and p.format is not fmt)
    for name in fallbacks:
        log.warning("%s: rows are no multiple of %d, stored as F16", name, fmt.block_size)
    total, done = sum(p.nbytes for p in plan), 0
    with part_file(target, force=force) as part:
        meta = gguf.GGUFWriter(part, "llama")
        meta.add_name(name or folder.path.resolve().name)
        _add_hparams(meta, hparams, file_type)
        add_vocabulary(meta, read_vocabulary(folder.path, hparams.vocab_size))
        writer = Writer(part, meta, plan)
        try:
            for tensor, planned in zip(tensors, plan, strict=True):
                writer.write(_encode(tensor, planned))
                tensor.source.file.release()
                done += planned.nbytes
                if progress is not None:
                    progress("convert", done, total)
        finally:
            writer.close()
    n_weights = sum(int(np.prod(p.shape)) for p in plan)
    return ConversionReport(
        path=str(target),
        type=type.lower(),
        n_tensors=len(plan),
        nbytes=target.stat().st_size,
        bits_per_weight=8 * total / n_weights,
        fallbacks=fallbacks,
        seconds=time.perf_counter() - begin_s,
    )


def _encode(tensor: MappedTensor, planned: Planned) -> NDArray[np.uint8]:
    """A tensor's bytes in its format, made in pieces of rows."""
    fmt = planned.format
    try:
        if len(tensor.shape) == 1:
            return quantize(tensor.rows(0, tensor.shape[0])[None], fmt)[0]
        n_rows, n = tensor.shape
        out = np.empty((n_rows, fmt.row_nbytes(n)), np.uint8)
        step = max(1, _CHUNK_WEIGHTS // n)
        for begin in range(0, n_rows, step):
            end = min(begin + step, n_rows)
            out[begin:end] = quantize(tensor.rows(begin, end), fmt)
        return out
    except ValueError as error:
        raise ConversionError(
            tensor.source.file.path, tensor.source.name, expected="finite weights", got=str(error)
        ) from error


def _add_hparams(meta: gguf.GGUFWriter, h: HParams, file_type: int) -> None:
    meta.add_file_type(file_type)
    meta.add_quantization_version(gguf.GGML_QUANT_VERSION)
    meta.add_context_length(h.n_ctx)
    meta.add_embedding_length(h.dim)
    meta.add_block_count(h.n_layers)
    meta.add_feed_forward_length(h.hidden_dim)
    meta.add_head_count(h.n_heads)
    meta.add_head_count_kv(h.n_kv_heads)
    meta.add_key_length(h.head_dim)
    meta.add_value_length(h.head_dim)
    meta.add_layer_norm_rms_eps(h.norm_eps)
    meta.add_rope_dimension_count(h.head_dim)
    meta.add_rope_freq_base(h.rope_theta)
    meta.add_vocab_size(h.vocab_size)
