"""The tensors that a model has: names on both sides, shapes, and the order of rotated rows.

A head's features can be rotated in pairs of neighbours (2i, 2i + 1) or of halves (i, i + d/2),
which is a matter of their order. Hugging Face has halves, the kernels neighbours; what a GGUF file
has depends on the family. So the rows of q and k, of their biases and of their norms are put into
another order when a model is converted, or when it is loaded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.gguf.factors import factor_errors, factor_names
from halfbyte.gguf.file import GGUFFile
from halfbyte.lazy_dataclass import dataclass

OUTPUT = "output.weight"  # absent where the embedding takes its place
# Divisors of the frequencies of rotary embedding: Llama 3's scaling, and LongRoPE's.
ROPE_FREQS = "rope_freqs.weight"
ROPE_SHORT, ROPE_LONG = "rope_factors_short.weight", "rope_factors_long.weight"
ROPE_FACTORS = (ROPE_FREQS, ROPE_SHORT, ROPE_LONG)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor of a model.

    Attributes:
        name: in GGUF.
        hf_name: in a Hugging Face checkpoint; "": it follows from config.json.
        shape: (rows, inputs) or (features,), in both; of experts with as many in front. A file may
            have a single row as a vector.
        n_rotated: heads whose features are its rows, or the first of them, and are rotated; 0:
            none.
        may_lack: whether a file runs without it.
        adds: what is added to its numbers when a checkpoint is converted.
        heads: how many heads it has rows of, for keys and then for values, and how many of each
            (latent.py); (): none.
        head_dim: features of such a head; 0: its rows are those of the heads alone.
        n_features: how many of these are rotated, from the first on; 0: all.
        in_file: whether it stays in the file, and rows of it are read when they are needed.
        is_taps: whether it is a convolution's, (features, taps), which a checkpoint has with a
            dimension of 1 between and memory as a row of floats for each tap.
        stored: its shape in a file, where that is another one.
        in_turn: of a head's rows, how many are of each kind; of such a tensor a file has head after
            head, and memory kind after kind. (): there is one kind.
        parts: matrices of which it holds the rows, one after the other, as they are called in
            memory, and their rows; (): it is one.
    """

    name: str
    hf_name: str
    shape: tuple[int, ...]
    n_rotated: int = 0
    may_lack: bool = False
    head_dim: int = 0
    n_features: int = 0
    in_turn: tuple[int, ...] = ()
    parts: tuple[tuple[str, int], ...] = ()
    adds: float = 0.0
    heads: tuple[int, ...] = ()
    in_file: bool = False
    is_taps: bool = False
    stored: tuple[int, ...] = ()

    @property
    def is_matrix(self) -> bool:
        """Whether it is a matrix, or many: biases of experts have two dimensions too."""
        return len(self.shape) > 1 and not self.is_taps and not self.name.endswith(".bias")

    @property
    def is_of_experts(self) -> bool:
        """Whether it is a matrix for each expert, of which a token needs few."""
        return self.is_matrix and len(self.shape) > 2 and "_exps" in self.name

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of that shape is it."""
        if self.is_taps and shape == (self.shape[0], 1, *self.shape[1:]):
            return True
        return shape in (self.shape, self.stored) or (1, *shape) == self.shape

    def neighbours(self) -> NDArray[np.int64] | None:
        """For each row where neighbours are rotated, its row where halves are; None: no difference.

        Row h d + 2i + j comes from h d + j r/2 + i, of the r rotated ones of a head's d features.
        Where kinds are in turn, they no longer are.
        """
        order = kind_after_kind(self.in_turn, self.shape[0])
        if not self.n_rotated:
            return order if self.in_turn else None
        d = self.head_dim or self.shape[0] // self.n_rotated
        r = self.n_features or d
        heads = order[: self.n_rotated * d].reshape(self.n_rotated, d)
        halves = heads[:, :r].reshape(-1, 2, r // 2)
        heads[:, :r] = halves.swapaxes(1, 2).reshape(-1, r)
        return order


def kind_after_kind(in_turn: Sequence[int], n_rows: int) -> NDArray[np.int64]:
    """For each row of kind after kind, its row where each head has so many of each in turn."""
    order = np.arange(n_rows)
    if not in_turn:
        return order
    kinds = np.split(order.reshape(-1, sum(in_turn)), np.cumsum(in_turn)[:-1], axis=1)
    return np.concatenate([rows.reshape(-1) for rows in kinds])


def check_tensors(
    file: GGUFFile, specs: Sequence[TensorSpec], left_out: Collection[str] = ()
) -> None:
    """Compare a file's tensors with what its family needs, but for some that are left out.

    Raises:
        ModelFileError: tensors are missing or have another shape; all are named.
        UnsupportedModelError: there are tensors that would be ignored.
    """
    for error in tensor_errors(file, specs, left_out):
        raise error


def tensor_errors(
    file: GGUFFile, specs: Sequence[TensorSpec], left_out: Collection[str] = ()
) -> Iterator[ModelFileError]:
    """The errors of `check_tensors`, one a kind."""
    missing = [s.name for s in specs if s.name not in file.tensors and not s.may_lack]
    if missing:
        yield ModelFileError(file.path, "tensors", expected=_some(missing), got="none of these")
    misshapen = [
        f"{s.name} {s.shape}, not {file.tensors[s.name].shape}"
        for s in specs
        if s.name in file.tensors and not s.fits(file.tensors[s.name].shape)
    ]
    if misshapen:
        yield ModelFileError(file.path, "tensor shapes", expected=_some(misshapen))
    yield from factor_errors(file)
    known = {s.name for s in specs} | factor_names(file) | {*left_out}
    unknown = [name for name in file.tensors if name not in known]
    if unknown:
        yield UnsupportedModelError(
            file.path,
            "tensors",
            expected="those of its architecture",
            got=_some(unknown),
            hint="this version would have to ignore these tensors, which would change the result",
        )


def _some(names: list[str], limit: int = 8) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
