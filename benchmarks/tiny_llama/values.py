"""How the tensors of families.LISTED are drawn, by their names."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import decoders, delta_nets, gemma4
from .families import KINDS
from .spec import F32, Tiny

# Families that multiply embeddings, by which these are so much smaller.
_SCALED = {
    **dict.fromkeys(("gemma", "gemma2", "gemma3", *gemma4.KINDS), 8),
    **dict.fromkeys((kind for kind in KINDS if kind.startswith("granite")), 4),
}
# Families that store what a norm's weight exceeds 1 by.
_CENTERED_NORMS = {"gemma", "gemma2", "gemma3", *delta_nets.KINDS}
_ROUTERS = (
    "mlp.gate", "mixer.gate", "router", "router.layer", "router.proj", "feed_forward.gate",
)  # fmt: skip
_STATES = {".A_log": 0.5, ".D": 1.0, ".dt_bias": -2.5}  # of Mamba-2, about these


def value_of(tiny: Tiny, name: str, shape: tuple[int, ...], uniform: Callable[..., F32]) -> F32:
    """A tensor of that name and shape, drawn by uniform(shape, deviation, mean)."""
    if not shape:
        return np.array(decoders.CONSTANTS[name.rpartition(".")[2]], np.float32)
    if tiny.kind == "gpt_oss" and len(shape) == 3:  # inputs before rows; clamped at 7
        return uniform(shape, (5.0 if "gate_up" in name else 0.3) / shape[1] ** 0.5)
    if name.endswith(("sinks", "_proj_bias")):
        return uniform(shape, 0.7)
    if tiny.kind in delta_nets.KINDS and name.endswith(("A_log", "dt_bias")):
        return uniform(shape, 0.7)
    if name.endswith(tuple(_STATES)):  # which remember for some tokens, and for many
        return uniform(shape, 0.7, _STATES["." + name.rpartition(".")[2]])
    if name.endswith("linear_attn.norm.weight"):
        return uniform(shape, 0.2, 1.0)
    if len(shape) == 1 or name.endswith("bias"):
        is_factor = name.endswith(("weight", "scale", "scalar"))
        mean = float(is_factor and tiny.kind not in _CENTERED_NORMS)
        if tiny.kind.startswith("gemma4") and name.endswith(("q_norm.weight", "k_norm.weight")):
            mean = 0.5  # whose scores nothing else makes smaller
        return uniform(shape, 0.2, mean)
    if "embed" in name or "transformer.w" in name:
        return uniform(shape, 0.5 / _SCALED.get(tiny.kind, 1))
    # Logits are wide apart, so that the best of them, and of a router's, are clear.
    is_router = name.endswith(tuple(f".{one}.weight" for one in _ROUTERS))
    gain = 3.0 if name == "lm_head.weight" or is_router else 1.3
    if name == "lm_head.weight" and tiny.kind in delta_nets.KINDS:
        gain = 2.0  # whose states carry a rounding on
    return uniform(shape, gain / shape[-1] ** 0.5)
