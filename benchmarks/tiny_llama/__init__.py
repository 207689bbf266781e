"""Tiny checkpoints made from a seed, the same bytes on every machine.

Golden data then holds only what a reference says about such a model; the weights are made again
where they are needed. Their sizes are chosen so that attention attends, gates open and close and
norms differ: a mistake in any of them changes the logits. Only raw bits of PCG64 are used, since
NumPy promises their stability but not that of its normal distribution.

A family is a module with `KINDS` (what their config.json says otherwise than Llama's), `layer` (the
tensors of one) and `of_shape` (what config.json says that follows from the shape); families.py
lists them.
"""

from .checkpoint import config, save, weights
from .families import KINDS, NETS, tensors
from .relatives import experts
from .spec import F32, Named, Tiny
from .vocabulary import N_BYTE_PIECES, save_tokenizer, words

__all__ = [
    "F32",
    "KINDS",
    "NETS",
    "N_BYTE_PIECES",
    "Named",
    "Tiny",
    "config",
    "experts",
    "save",
    "save_tokenizer",
    "tensors",
    "weights",
    "words",
]
