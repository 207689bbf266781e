"""The shape of multi-head latent attention (MLA): DeepSeek-V2, arXiv:2405.04434."""

from __future__ import annotations

import math

from halfbyte.families.rope import yarn_attention_factor
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class LatentConfig:
    """Keys and values compressed to one vector that all heads share (kernels/stages/latent.py).

    Attributes:
        q_lora_rank: features that queries are made of; 0: they are made of the layer's input.
        kv_lora_rank: features of the compressed vector.
        nope_dim, rope_dim: features of a head's query, those that are not rotated and the others.
        value_dim: features of a head's value.
        mscale: YaRN's mscale_all_dim, by which scores grow where positions are stretched.
        is_fused: whether a file has what makes keys and values of a vector in one tensor.
    """

    q_lora_rank: int
    kv_lora_rank: int
    nope_dim: int
    rope_dim: int
    value_dim: int
    mscale: float = 0.0
    is_fused: bool = False

    @property
    def qk_dim(self) -> int:
        """Features of a head's query before it meets compressed keys."""
        return self.nope_dim + self.rope_dim

    @property
    def key_dim(self) -> int:
        """Features of what is kept of a position."""
        return self.kv_lora_rank + self.rope_dim

    def attention_scale(self, factor: float) -> float:
        """What scores are multiplied by, where positions are divided by `factor`."""
        grown = yarn_attention_factor(factor, self.mscale) if self.mscale else 1.0
        return grown * grown / math.sqrt(self.qk_dim)
