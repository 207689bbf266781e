"""The stages of multi-head latent attention; see kernels/stages/latent.py. Their buffers:

q_a         (T, q_lora_rank)            what queries are made of, where it is compressed
q           (T, n_heads qk_dim)         a head's [q1, q2]
kv          (T, key_dim)                [c, k] of all heads
qkv         (T, n_heads key_dim)        queries as compressed keys take them
latents     (T, n_heads kv_lora_rank)   attention's output
"""

from __future__ import annotations

from collections.abc import Mapping

from halfbyte.families.config import ModelConfig
from halfbyte.families.expert_stages import ExpertsStage
from halfbyte.families.stages import Stage
from halfbyte.lazy_dataclass import dataclass

KV_NORM = "attn_kv_a_norm"


@dataclass(frozen=True, slots=True)
class Compress(Stage):
    """Each head's q2 is rotated and joins qkv; [RMSNorm(c), rope(k)] joins the layer's cache.

    Queries are multiplied by ModelConfig.query_factors.
    """

    eps: float

    @property
    def tensors(self) -> tuple[tuple[str, str], ...]:
        """See Stage."""
        return ((KV_NORM, "weight"),)


@dataclass(frozen=True, slots=True)
class ProjectHeads(ExpertsStage):
    """to = W source of each head, with a matrix of its own: (n_heads, rows, inputs).

    Of a head of `source` its first features are taken; in `to` they are the first too.
    """

    weight: str
    source: str
    to: str

    @property
    def experts(self) -> tuple[str, ...]:
        """See ExpertsStage."""
        return (self.weight,)


def head_widths(c: ModelConfig) -> Mapping[str, int]:
    """Features of a head in each of the buffers that have heads."""
    if c.latent is None:
        raise TypeError(f"{c.architecture}: keys are not compressed")
    latents = c.latent.kv_lora_rank
    return {"q": c.latent.qk_dim, "qkv": c.head_dim, "latents": latents,
            "attended": c.latent.value_dim}  # fmt: skip
