"""From the tensors of a GGUF file to packed panels in memory.

All faults of a file are found before anything is allocated and reported together. Each tensor is
packed straight from the mapped file, whose pages are then given back, so memory holds one copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import EngineError, ModelFileError, UnsupportedModelError
from halfbyte.families.config import ModelConfig, interleaved_rows
from halfbyte.gguf.file import GGUFFile, TensorInfo
from halfbyte.kernels.formats.registry import FORMATS
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, PanelFormat, n_panels
from halfbyte.kernels.pool import Pool
from halfbyte.kernels.quantizers.quantize import dequantize
from halfbyte.kernels.step import MATRICES

_ALIGN = 64
ROPE_FREQS = "rope_freqs.weight"  # divisors of the frequencies: Llama 3's scaling
OPTIONAL = ("output.weight", ROPE_FREQS)
ROTATED, VALUES = ("attn_q", "attn_k"), ("attn_v",)


@dataclass(frozen=True, slots=True)
class Matrix:
    """A packed matrix of n_rows x n_inputs at an address."""

    format: PanelFormat
    n_rows: int
    n_inputs: int
    address: int

    @property
    def nbytes(self) -> int:
        """Bytes that a product reads."""
        return self.format.nbytes(self.n_rows, self.n_inputs)


class ModelWeights:
    """All weights of a model in one block of memory: `matrices` and `vectors` by GGUF name.

    Vectors (norm weights, biases) are addresses of float rows padded to 32. `output` is
    `token_embd` where tied. Rows of q and k are in the order in which neighbours are rotated.

    Attributes:
        rope_divisors: what the frequencies of rotary embedding are divided by, if anything.
    """

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self._memory = memory
        self.matrices: dict[str, Matrix] = {}
        self.vectors: dict[str, int] = {}
        self.rope_divisors: NDArray[np.float64] | None = None

    @property
    def output(self) -> Matrix:
        """The output projection."""
        return self.matrices.get("output.weight", self.matrices["token_embd.weight"])

    @property
    def nbytes(self) -> int:
        """Bytes of memory held."""
        return int(self._memory.nbytes)

    @property
    def nbytes_per_token(self) -> int:
        """Bytes of matrices that decoding one token reads."""
        layers = sum(m.nbytes for name, m in self.matrices.items() if name.startswith("blk."))
        return layers + self.output.nbytes


def expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape (rows, inputs) of every tensor that a model has; OPTIONAL ones may lack."""
    c = config
    q_dim, kv_dim = c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim
    inner: dict[str, tuple[int, ...]] = {
        "attn_norm": (c.dim,),
        "attn_q": (q_dim, c.dim),
        "attn_k": (kv_dim, c.dim),
        "attn_v": (kv_dim, c.dim),
        "attn_output": (c.dim, q_dim),
        "ffn_norm": (c.dim,),
        "ffn_gate": (c.hidden_dim, c.dim),
        "ffn_up": (c.hidden_dim, c.dim),
        "ffn_down": (c.dim, c.hidden_dim),
    }
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (c.vocab_size, c.dim)}
    for i in range(c.n_layers):
        shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in inner.items()}
        if c.has_qkv_biases:
            shapes |= {f"blk.{i}.{name}.bias": inner[name][:1] for name in ROTATED + VALUES}
    shapes |= {"output_norm.weight": (c.dim,), "output.weight": (c.vocab_size, c.dim)}
    return shapes | {ROPE_FREQS: (c.head_dim // 2,)}


def check_tensors(file: GGUFFile, config: ModelConfig) -> None:
    """Compare a file's tensors with what the architecture needs.

    Raises:
        ModelFileError: tensors are missing or have another shape; all are named.
        UnsupportedModelError: there are tensors that would be ignored, or of a type that does
            not run.
    """
    expected = expected_shapes(config)
    missing = [n for n in expected if n not in file.tensors and n not in OPTIONAL]
    if missing:
        raise ModelFileError(file.path, "tensors", expected=_some(missing), got="none of these")
    misshapen = [
        f"{name} {shape}, not {file.tensors[name].shape}"
        for name, shape in expected.items()
        if name in file.tensors and file.tensors[name].shape != shape
    ]
    if misshapen:
        raise ModelFileError(file.path, "tensor shapes", expected=_some(misshapen))
    unknown = [name for name in file.tensors if name not in expected]
    if unknown:
        raise UnsupportedModelError(
            file.path,
            "tensors",
            expected="a plain Llama model",
            got=_some(unknown),
            hint="this version would have to ignore these tensors, which would change the result",
        )


def load_weights(
    file: GGUFFile, config: ModelConfig, pool: Pool, progress: Callable[[int, int], None]
) -> ModelWeights:
    """Pack all tensors of a checked file; `progress` gets (bytes done, bytes in all)."""
    infos = [file.tensors[name] for name in expected_shapes(config) if name in file.tensors]
    sizes = [_packed_nbytes(file, info) for info in infos]
    total = sum(sizes)
    try:
        memory = np.empty(total + _ALIGN, np.uint8)
    except MemoryError as error:
        raise EngineError(f"no memory for {total / 1e9:.1f} GB of weights") from error
    weights = ModelWeights(memory)
    at = -int(memory.ctypes.data) % _ALIGN
    done = 0
    for info, nbytes in zip(infos, sizes, strict=True):
        target, order = memory[at : at + nbytes], _order(info.name, config)
        if info.name == ROPE_FREQS:
            weights.rope_divisors = _divisors(file)
        elif len(info.shape) == 1:
            row, values = target.view(np.float32), _floats(file, info.name)
            row[:] = 0
            row[: info.shape[0]] = values if order is None else values[order]
            weights.vectors[info.name] = int(target.ctypes.data)
        else:
            n_rows, n_inputs = info.shape
            fmt = panel_format(file, info)
            rows = file.data(info.name).reshape(n_rows, -1)
            try:
                pack(pool, rows if order is None else rows[order], fmt, n_inputs, target)
            except ValueError as error:
                raise _not_finite(file, info.name) from error
            weights.matrices[info.name] = Matrix(fmt, n_rows, n_inputs, int(target.ctypes.data))
        file.release(info.name)
        at += nbytes
        done += nbytes
        progress(done, total)
    return weights


def _order(name: str, c: ModelConfig) -> NDArray[np.int64] | None:
    """The rows of a tensor in the order in which neighbours are rotated, if the file's differs."""
    kind = name.split(".")[-2]
    if not c.rotates_halves or kind not in ROTATED:
        return None
    return interleaved_rows(c.n_heads if kind == "attn_q" else c.n_kv_heads, c.head_dim)


def _divisors(file: GGUFFile) -> NDArray[np.float64]:
    values = _floats(file, ROPE_FREQS)
    if not (values > 0).all():
        raise ModelFileError(file.path, ROPE_FREQS, expected="numbers above 0", got=values.min())
    return values.astype(np.float64)


def panel_format(file: GGUFFile, info: TensorInfo) -> PanelFormat:
    """The packed form of a tensor; UnsupportedModelError if its type does not run."""
    found = PANEL_FORMATS.get(info.type_name)
    if found is None:
        raise UnsupportedModelError(
            file.path, f"{info.name}: type", expected=", ".join(PANEL_FORMATS), got=info.type_name
        )
    return found


def _packed_nbytes(file: GGUFFile, info: TensorInfo) -> int:
    if len(info.shape) == 1:
        nbytes = 4 * padded(info.shape[0])
    else:
        nbytes = panel_format(file, info).nbytes(*info.shape)
    return -(-nbytes // _ALIGN) * _ALIGN


def _floats(file: GGUFFile, name: str) -> NDArray[np.float32]:
    info = file.tensors[name]
    try:
        row = dequantize(file.data(name)[None], FORMATS[info.type_name], info.shape[0])[0]
    except (ValueError, KeyError) as error:
        raise ModelFileError(file.path, name, expected="floats", got=info.type_name) from error
    if not np.isfinite(row).all():
        raise _not_finite(file, name)
    return row


def _not_finite(file: GGUFFile, name: str) -> ModelFileError:
    return ModelFileError(
        file.path,
        name,
        expected="finite weights",
        got="NaN or infinity",
        hint="the file is damaged, or its weights overflowed when it was converted",
    )


def _some(names: list[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def vector_names(i_layer: int) -> tuple[str, ...]:
    """GGUF names of a layer's vectors, in the order of the model table (step.VECTORS)."""
    norms = (f"blk.{i_layer}.{name}.weight" for name in ("attn_norm", "ffn_norm"))
    return (*norms, *(f"blk.{i_layer}.{name}.bias" for name in ROTATED + VALUES))


def layer_names(i_layer: int) -> tuple[str, ...]:
    """GGUF names of a layer's matrices, in the order of the model table."""
    return tuple(f"blk.{i_layer}.{name}.weight" for name in MATRICES)


def matrix_panels(matrix: Matrix) -> int:
    """Panels of a matrix, padding included."""
    return n_panels(matrix.n_rows)
