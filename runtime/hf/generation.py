"""Rows of token ids that `generate` continues, as transformers shapes them, and their seeds.

Rows are padded on the left, as `tokenizer(..., padding=True, padding_side="left")` gives them. What
a row says depends on nothing beside it; its padding is left out, not computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.call_arguments import is_whole
from halfbyte.errors import RequestError
from halfbyte.hf.batch import import_torch, tensor_type_of, to_lists
from halfbyte.hf.generation_config import GenerationConfig
from halfbyte.lazy_dataclass import dataclass

I64 = NDArray[np.int64]


# Where the seeds of sampled rows come from; it locks itself.
_seeds = np.random.default_rng()


def set_seed(seed: int) -> None:
    """Make what `generate` and pipelines draw from now on repeatable, by a whole number from 0.

    Other generators of random numbers (Python's, NumPy's, torch's) are left alone.
    """
    if not is_whole(seed) or seed < 0:
        raise RequestError("seed", expected="a whole number from 0", got=repr(seed))
    global _seeds
    _seeds = np.random.default_rng(int(seed))


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked rows of ids: `prompts` without padding, `ids` (batch, n) as they were given."""

    ids: I64
    prompts: list[list[int]]
    tensor_type: str

    @property
    def n_given(self) -> int:
        """Ids of each row, padding included."""
        return self.ids.shape[1]

    def give_back(self, array: NDArray[Any]) -> Any:
        """An array of the kind that the caller gave."""
        is_torch = self.tensor_type == "pt"
        return import_torch("inputs").from_numpy(array) if is_torch else array


def read_batch(
    inputs: Any, attention_mask: Any, config: GenerationConfig, vocab_size: int
) -> Batch:
    """Rows of ids and their mask, checked.

    Args:
        inputs: whole numbers (batch, n), an array, a tensor or lists; None takes BOS.
        attention_mask: the same shape, 0 for padding; None marks `pad_token_id` as padding where
            it does not end answers too.
        config: whose `bos_token_id`, `eos_token_id` and `pad_token_id` are looked at.
        vocab_size: ids are below.

    Raises:
        RequestError: another shape or kind, ids out of range, padding not on the left alone.
    """
    if inputs is None:
        if config.bos_token_id is None:
            raise RequestError("inputs", expected="token ids, as there is no bos_token_id")
        inputs = np.array([[config.bos_token_id]])
    ids = matrix("inputs", inputs)
    outside = ids[(ids < 0) | (ids >= vocab_size)]
    if outside.size:
        raise RequestError("inputs", expected=f"ids below {vocab_size}", got=int(outside[0]))
    if attention_mask is None:
        pad = config.pad_token_id
        is_pad = pad is not None and pad not in config.end_ids
        mask = ids != pad if is_pad else np.ones_like(ids, bool)
    else:
        mask = matrix("attention_mask", attention_mask).astype(bool)
        if mask.shape != ids.shape:
            raise RequestError("attention_mask", expected=f"shape {ids.shape}", got=mask.shape)
    if not mask[:, -1].all() or (mask[:, :-1] & ~mask[:, 1:]).any():
        raise RequestError(
            "attention_mask", expected="padding on the left alone, and a token in every row",
            got="padding behind or between tokens",
            hint="tokenize with padding_side='left'",
        )  # fmt: skip
    prompts = [row[kept].tolist() for row, kept in zip(ids, mask, strict=True)]
    return Batch(ids, prompts, tensor_type_of(inputs) or "np")


def seeds(n: int) -> list[int]:
    """Seeds for n sampled rows."""
    return [int(seed) for seed in _seeds.integers(2**63, size=n)]


def matrix(name: str, value: Any) -> I64:
    """Whole numbers of shape (batch, n); raises RequestError for anything else."""
    try:
        array = np.asarray(to_lists(value))
    except ValueError:
        array = np.empty(0)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iub":
        raise RequestError(
            name, expected="whole numbers of shape (batch, n)", got=_shown(value),
            hint="tokenizer(..., return_tensors='np') gives them",
        )  # fmt: skip
    return array.astype(np.int64)


def _shown(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"{value.dtype} of shape {tuple(shape)}"
