"""How rotary embedding is stretched beyond the context that a model was trained with.

YaRN keeps fast pairs as they are, divides the positions of slow ones, and mixes between (Peng et
al., arXiv:2309.00071). LongRoPE divides each pair's frequency by a number of its own (Ding et al.,
arXiv:2402.13753), of which there are two sets: one for contexts up to the original one, one for
longer ones. Both make the cosines and sines larger by a factor.

Sources: transformers' modeling_rope_utils.py; llama.cpp's ggml_rope_yarn_corr_dims,
get_rope_factors and llama_context.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from halfbyte.lazy_dataclass import dataclass

BETA_FAST, BETA_SLOW = 32.0, 1.0  # where nothing else is stated


@dataclass(frozen=True, slots=True)
class Yarn:
    """YaRN.

    Attributes:
        n_ctx: the context before it was stretched.
        attention_factor: of cosines and sines.
        beta_fast: turns within that context from which on a pair is left alone.
        beta_slow: turns up to which its positions are divided.
        truncates: whether the pairs that these name are rounded outwards to whole numbers.
    """

    n_ctx: int
    attention_factor: float
    beta_fast: float = BETA_FAST
    beta_slow: float = BETA_SLOW
    truncates: bool = True

    def kept(self, theta: float, n_features: int) -> NDArray[np.float64]:
        """How much of each pair's own frequency remains, from 1 to 0: float64 (n_features / 2,)."""
        low, high = (
            n_features * math.log(self.n_ctx / (turns * 2 * math.pi)) / (2 * math.log(theta))
            for turns in (self.beta_fast, self.beta_slow)
        )
        if self.truncates:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, n_features - 1)
        width = high - low if high != low else 0.001
        return 1.0 - np.clip((np.arange(n_features // 2) - low) / width, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class LongRope:
    """LongRoPE.

    Attributes:
        n_ctx: the original context; longer ones take the long divisors, at all positions.
        attention_factor: of cosines and sines.
        short, long: divisors of the pairs' frequencies, where config.json says them; a GGUF file
            has them as tensors (tensors.ROPE_SHORT, ROPE_LONG).
    """

    n_ctx: int
    attention_factor: float
    short: tuple[float, ...] | None = None
    long: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Temperature:
    """Queries grow with their position p: by 1 + scale * ln(1 + floor(p / n_ctx)).

    Source: transformers' get_llama_4_attn_scale.
    """

    scale: float
    n_ctx: int

    def factors(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Those of positions."""
        return 1.0 + self.scale * np.log1p(positions // self.n_ctx)


def yarn_attention_factor(factor: float, log_multiplier: float = 1.0) -> float:
    """What the paper proposes for positions divided by `factor`."""
    return 0.1 * log_multiplier * math.log(factor) + 1.0 if factor > 1 else 1.0


def longrope_attention_factor(stretch: float, n_ctx: int) -> float:
    """The usual one, for a context `stretch` times the original one."""
    return math.sqrt(1 + math.log(stretch) / math.log(n_ctx)) if stretch > 1 else 1.0
