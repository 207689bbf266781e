"""The importance matrix: how strongly each input feature of each matrix is used on a text.

A feature's importance is the mean of its squares over the text's tokens, as llama.cpp defines it.
An error of a weight costs in proportion to it, if features are taken to be independent.

Both of llama.cpp's file formats are read and written:

    .gguf   general.type = "imatrix", imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size;
            for each matrix NAME.in_sum2 (1, K), the sums of squares, and NAME.counts (1, 1), F32
    .dat    i32 n, then n x { string name, i32 n_calls, i32 K, f32[K] mean square * n_calls },
            i32 n_chunks, string text; strings are an i32 length and bytes

Source: llama.cpp's tools/imatrix/imatrix.cpp (save_imatrix, save_imatrix_legacy).
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.target import part_file
from halfbyte.errors import ModelFileError
from halfbyte.files.file_reader import FileReader
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Cursor
from halfbyte.lazy_dataclass import dataclass
from halfbyte.progress import Progress, silent
from halfbyte.quality.float_model import FloatModel, Ids, hidden_states
from halfbyte.quality.layer_source import F32
from halfbyte.quality.routing import split_name

log = logging.getLogger(__name__)

_SUMS, _COUNTS = ".in_sum2", ".counts"


@dataclass(frozen=True, slots=True)
class Importance:
    """Importance by the matrices' GGUF names.

    Attributes:
        means: matrix -> mean squares of its inputs, float32 (K,); of experts (n_experts, K).
        n_windows: windows of the text they were taken from.
        n_tokens: tokens of a window.
        text: what the text was called.
    """

    means: dict[str, F32]
    n_windows: int
    n_tokens: int
    text: str = ""


def collect_importance(model: FloatModel, ids: Ids, *, progress: Progress = silent) -> Importance:
    """The importance of every matrix on windows of tokens.

    Args:
        model: the model.
        ids: int64 (B, T).
        progress: called with ("importance", layers done, layers in all).
    """
    sums: dict[str, NDArray[np.float64]] = {}
    counts: dict[str, int] = {}
    n_layers = model.config.n_layers

    def add(names: tuple[str, ...], x: F32) -> None:
        squares = np.square(x).sum(0, dtype=np.float64)
        for name in names:
            sums[name] = sums.get(name, 0) + squares
            counts[name] = counts.get(name, 0) + len(x)
        if names[0].startswith("blk."):
            progress("importance", int(names[0].split(".")[1]) + 1, n_layers)

    x = hidden_states(model, ids, add)
    for _ in model.logits(x, add):
        pass
    found = {name: (total / counts[name]).astype(np.float32) for name, total in sums.items()}
    return Importance(_by_tensor(found, model), *ids.shape)


def _by_tensor(found: Mapping[str, F32], model: FloatModel) -> dict[str, F32]:
    """Experts' means as rows of their tensor's; of one that the text did not reach all others'."""
    means: dict[str, F32] = {}
    experts: dict[str, dict[int, F32]] = {}
    for full_name, mean in found.items():
        name, expert = split_name(full_name)
        if expert is None:
            means[name] = mean
        else:
            experts.setdefault(name, {})[expert] = mean
    e = model.config.experts
    for name, of_each in experts.items():
        n = e.n_experts if e is not None and "_exps" in name else len(of_each)  # of all heads
        usual = np.mean(list(of_each.values()), axis=0, dtype=np.float64).astype(np.float32)
        means[name] = np.array([of_each.get(i, usual) for i in range(n)])
        if len(of_each) < n:
            log.warning("%s: the text reached %d of %d experts; the others' importance is the mean "
                        "of these", name, len(of_each), n)  # fmt: skip
    return means


def save_importance(path: Path, importance: Importance) -> None:
    """Write a .dat file, or a GGUF one under any other name, which appears when it is complete.

    It replaces what is there. Raises:
        ConversionError: writing fails.
    """
    with part_file(path, force=True) as part:
        if path.suffix.lower() == ".dat":
            part.write_bytes(_legacy_bytes(importance))
        else:
            _write_gguf(part, importance)


def _write_gguf(path: Path, importance: Importance) -> None:
    writer = gguf.GGUFWriter(path, "imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", [importance.text])
    writer.add_uint32("imatrix.chunk_count", importance.n_windows)
    writer.add_uint32("imatrix.chunk_size", importance.n_tokens)
    count = importance.n_windows * importance.n_tokens
    for name, mean in importance.means.items():
        sums = (np.atleast_2d(mean).astype(np.float64) * count).astype(np.float32)
        writer.add_tensor(name + _SUMS, sums)
        writer.add_tensor(name + _COUNTS, np.full((len(sums), 1), count, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def load_importance(path: Path) -> Importance:
    """Read either format.

    Raises:
        ModelFileError: it cannot be read, is neither, is cut short, or has numbers that are not
            finite and positive.
    """
    with closing(FileReader(path, what="an importance matrix")) as file:
        is_gguf = file.nbytes >= 4 and file.read(0, 4).tobytes() == b"GGUF"
        found = _load_gguf(path) if is_gguf else _load_legacy(Cursor(file))
    for name, mean in found.means.items():
        if not np.isfinite(mean).all() or (mean < 0).any():
            raise ModelFileError(path, name, expected="finite numbers from 0", got="others")
    return found


def _legacy_bytes(importance: Importance) -> bytes:
    n_calls = importance.n_windows
    parts = [struct.pack("<i", len(importance.means))]
    for name, mean in importance.means.items():
        parts += [_string(name), struct.pack("<ii", n_calls, mean.size)]
        parts.append((mean * np.float32(n_calls)).astype("<f4").tobytes())
    return b"".join([*parts, struct.pack("<i", n_calls), _string(importance.text)])


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<i", len(raw)) + raw


def _load_gguf(path: Path) -> Importance:
    means: dict[str, F32] = {}
    with GGUFFile.open(path) as file:
        for full_name in file.tensors:
            if not full_name.endswith(_SUMS):
                continue
            name = full_name.removesuffix(_SUMS)
            sums, counts = (_floats(file, name + suffix) for suffix in (_SUMS, _COUNTS))
            is_sound = bool(counts.size) and sums.size % counts.size == 0
            if not is_sound or not 1 <= counts.max() < np.inf:
                raise ModelFileError(
                    path, name + _COUNTS, expected="one count, or one an expert",
                    got=counts.tolist(),
                )  # fmt: skip
            means[name] = _means(sums, counts)
        if not means:
            raise ModelFileError(path, expected="an importance matrix", got="no sums of squares")
        m = file.metadata
        datasets = m.get_strings("imatrix.datasets") if "imatrix.datasets" in m else []
        return Importance(
            means, m.get_int("imatrix.chunk_count", 1), m.get_int("imatrix.chunk_size", 1),
            b", ".join(datasets).decode("utf-8", "replace"),
        )  # fmt: skip


def _floats(file: GGUFFile, name: str) -> F32:
    info = file.tensors.get(name)
    if info is None or info.type_name != "F32":
        got = "no such tensor" if info is None else info.type_name
        raise ModelFileError(file.path, name, expected="F32 numbers", got=got)
    return file.data(name).view("<f4")


def _load_legacy(cursor: Cursor) -> Importance:
    if not cursor.nbytes:
        raise ModelFileError(cursor.path, expected="an importance matrix", got="no bytes")
    n = cursor.u32("entries")
    cursor.check_count(n, 12, "entries")
    means: dict[str, F32] = {}
    for i in range(n):
        name = _take_text(cursor, f"entry {i}: name")
        n_calls, k = cursor.u32(f"{name}: calls"), cursor.u32(f"{name}: length")
        if n_calls >= 1 << 31:  # of 32 bits with a sign
            field = f"{name}: calls"
            raise ModelFileError(cursor.path, field, expected="a count", got=hex(n_calls))
        sums = np.frombuffer(cursor.take(4 * k, name), "<f4")
        means[name] = _mean(sums, np.float32(n_calls or 1))
    # Files of early versions end here.
    has_tail = cursor.at < cursor.nbytes
    n_windows = cursor.u32("chunks") if has_tail else 1
    return Importance(means, n_windows, 1, _take_text(cursor, "text") if has_tail else "")


def _means(sums: F32, counts: F32) -> F32:
    """A matrix's, or those of experts, of which one that the text did not reach has the others'."""
    if counts.size == 1:
        return _mean(sums, counts[0])
    rows, is_reached = sums.reshape(counts.size, -1), counts >= 1
    means = np.empty_like(rows)
    means[is_reached] = rows[is_reached] / counts[is_reached, None]
    means[~is_reached] = means[is_reached].mean(0)
    return means


def _mean(sums: F32, count: np.float32) -> F32:
    with np.errstate(invalid="ignore"):  # of what is no number, which is looked for later
        return np.divide(sums, count, dtype=np.float32)


def _take_text(cursor: Cursor, field: str) -> str:
    return cursor.take(cursor.u32(field), field).decode("utf-8", "replace")
