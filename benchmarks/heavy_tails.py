"""A random checkpoint with heavy-tailed weights: harder on a quantizer than a trained model's.

Weights follow Student's t distribution of 4 degrees of freedom: a block of 32 has outliers far
beyond what a normal distribution would have, which is hard on scales taken from a block's range.
The bytes are the same on every machine: raw bits of PCG64 go through the distribution's quantile,
which has a closed form.

Source: W. T. Shaw, "Sampling Student's T distribution" (2006), the quantile for n = 4.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tiny_llama
from numpy.typing import NDArray

SHAPE = tiny_llama.Tiny(
    "heavy-tails", 41, dim=512, hidden_dim=1536, n_layers=4, n_heads=8, n_kv_heads=4, head_dim=64,
    vocab_size=768, rope_theta=1e4, tied=False
)  # fmt: skip


def student_t(bits: np.random.PCG64, n: int) -> NDArray[np.float64]:
    """n numbers of variance 1 in proportion to Student's t with 4 degrees of freedom."""
    p = ((bits.random_raw(n) >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
    root = np.sqrt(4 * p * (1 - p))
    q = np.cos(np.arccos(root) / 3) / root
    return np.sign(p - 0.5) * 2 * np.sqrt(np.maximum(q - 1, 0)) / np.sqrt(2)


def save(folder: Path) -> None:
    """Write the checkpoint as a Hugging Face folder with an invented vocabulary."""
    from safetensors.numpy import save_file

    tiny_llama.save(SHAPE, folder)
    bits = np.random.PCG64(SHAPE.seed)
    tensors = tiny_llama.weights(SHAPE)
    for name, w in tensors.items():
        if w.ndim == 2:
            heavy = student_t(bits, w.size).reshape(w.shape) * w.std(dtype=np.float64)
            tensors[name] = heavy.astype(np.float32)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
