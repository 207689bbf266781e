"""`model(**inputs)`: logits of rows of token ids, and the loss of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import RequestError
from halfbyte.hf.batch import import_torch, tensor_type_of
from halfbyte.hf.generation import I64, matrix
from halfbyte.hf.model_output import ModelOutput
from halfbyte.lazy_dataclass import dataclass
from halfbyte.model import Model

IGNORED = -100  # a label that does not count
# Arguments of transformers' forward that are not to be had here, with what leaves them off.
ABSENT: dict[str, object] = {
    "inputs_embeds": None, "output_attentions": False, "output_hidden_states": False,
    "past_key_values": None, "position_ids": None, "cache_position": None, "use_cache": False,
}  # fmt: skip


@dataclass(slots=True, kw_only=True)
class CausalLMOutput(ModelOutput):
    """What a call gives: float32 `logits` (batch, n, vocab_size), and `loss` where labels came."""

    absent = "a call gives logits and loss alone; model.generate keeps what a token needs"

    loss: Any = None
    logits: Any


def forward(
    model: Model, input_ids: Any, attention_mask: Any, labels: Any, n_last: int, adapter: Any
) -> CausalLMOutput:
    """Logits of rows, of their last `n_last` positions or of all (0); see CausalLM.__call__."""
    ids = matrix("input_ids", input_ids)
    mask = _mask(attention_mask, ids)
    targets = None if labels is None else matrix("labels", labels)
    if targets is not None:
        _check_labels(targets, mask, model.config.vocab_size)
    logits = np.zeros((*ids.shape, model.config.vocab_size), np.float32)
    for row, tokens, kept in zip(logits, ids, mask, strict=True):
        row[kept] = model.logits(tokens[kept].tolist(), adapter=adapter)
    loss = None if targets is None else _loss(logits, targets)
    is_torch = tensor_type_of(input_ids) == "pt"
    shown: Any = logits[:, -n_last:] if n_last else logits
    if is_torch:
        torch = import_torch("input_ids")
        shown = torch.from_numpy(np.ascontiguousarray(shown))
        loss = None if loss is None else torch.tensor(loss)
    return CausalLMOutput(logits=shown, loss=loss)


def _mask(stated: Any, ids: I64) -> NDArray[np.bool_]:
    if stated is None:
        return np.ones_like(ids, bool)
    mask = matrix("attention_mask", stated).astype(bool)
    if mask.shape != ids.shape:
        raise RequestError("attention_mask", expected=f"shape {ids.shape}", got=mask.shape)
    n_begins = (np.diff(mask.astype(np.int8), axis=1, prepend=0) == 1).sum(axis=1)
    if (n_begins != 1).any():
        raise RequestError(
            "attention_mask", expected="padding at the ends of a row alone, and a token in each",
            got="padding between tokens, or a row of nothing else",
        )  # fmt: skip
    return mask


def _check_labels(labels: I64, mask: NDArray[np.bool_], vocab_size: int) -> None:
    if labels.shape != mask.shape:
        raise RequestError("labels", expected=f"shape {mask.shape}", got=labels.shape)
    counted = labels != IGNORED
    if ((labels < 0) | (labels >= vocab_size))[counted].any():
        raise RequestError("labels", expected=f"ids below {vocab_size}, or {IGNORED}")
    n_bad = int((counted & ~mask).sum())
    if n_bad:
        got = f"{n_bad} other labels there"
        raise RequestError("labels", expected=f"{IGNORED} where there is padding", got=got)


def _loss(logits: NDArray[np.float32], labels: I64) -> np.float32:
    """Mean cross entropy of each label given what stands before it; NaN where none counts."""
    targets = labels[:, 1:]
    counted = targets != IGNORED
    if not counted.any():
        return np.float32(np.nan)
    scores = logits[:, :-1][counted].astype(np.float64)
    top = scores.max(axis=1)
    norms = top + np.log(np.exp(scores - top[:, None]).sum(axis=1))
    return np.float32((norms - scores[np.arange(len(scores)), targets[counted]]).mean())
