"""What makes a tiny checkpoint: its shape, its seed, its kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
Named = tuple[str, tuple[int, ...]]
Config = dict[str, object]


@dataclass(frozen=True, slots=True)
class Tiny:
    """Shape and seed of a checkpoint."""

    name: str
    seed: int
    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    rope_theta: float
    tied: bool
    n_ctx: int = 512
    norm_eps: float = 1e-5
    kind: str = "llama"  # or a key of KINDS
    n_next: int = 0  # layers behind the others that guess a token further ahead
