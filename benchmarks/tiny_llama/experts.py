"""Attention and experts: Granite, ERNIE, GLM-4.5, gpt-oss; their layers are in decoders.py."""

from __future__ import annotations

from collections.abc import Iterator

from .parts import GRANITE, granite_experts, linear, network
from .spec import Config, Named, Tiny

KINDS: dict[str, Config] = {
    "granitemoe": {"model_type": "granitemoe", "architectures": ["GraniteMoeForCausalLM"],
                   "num_local_experts": 6, "num_experts_per_tok": 2, **GRANITE},
    "granitemoeshared": {"model_type": "granitemoeshared",
                         "architectures": ["GraniteMoeSharedForCausalLM"], "num_local_experts": 5,
                         "num_experts_per_tok": 3, "shared_intermediate_size": 64, **GRANITE},
    "ernie4_5_moe": {"model_type": "ernie4_5_moe", "architectures": ["Ernie4_5_MoeForCausalLM"],
                     "moe_num_experts": 6, "moe_k": 2, "moe_intermediate_size": 32,
                     "moe_num_shared_experts": 2, "moe_layer_start_index": 1,
                     "moe_layer_end_index": -1, "moe_layer_interval": 1},
    "glm4_moe": {"model_type": "glm4_moe", "architectures": ["Glm4MoeForCausalLM"],
                 "attention_bias": True, "use_qk_norm": True, "partial_rotary_factor": 0.5,
                 "n_routed_experts": 8, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
                 "n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 4, "topk_group": 2,
                 "routed_scaling_factor": 1.5, "norm_topk_prob": True,
                 "num_nextn_predict_layers": 0},
    "gpt_oss": {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"],
                "attention_bias": True, "num_local_experts": 6, "num_experts_per_tok": 3,
                "sliding_window": 24, "rope_theta": 150000,
                "rope_scaling": {"rope_type": "yarn", "factor": 8.0, "beta_fast": 4.0,
                                 "beta_slow": 1.0, "truncate": False,
                                 "original_max_position_embeddings": 64}},
}  # fmt: skip


def has_experts(tiny: Tiny, i: int) -> bool:
    """Whether layer i has them."""
    return tiny.kind in KINDS and (i > 0 or tiny.kind not in ("ernie4_5_moe", "glm4_moe"))


def experts_of(tiny: Tiny) -> Iterator[Named]:
    """A layer's router and experts, under the names of checkpoints."""
    if tiny.kind == "gpt_oss":
        yield from _oss_experts(tiny)
        return
    kind = KINDS[tiny.kind]

    def number(*names: str) -> int:
        return next((int(str(kind[name])) for name in names if name in kind), 0)

    if tiny.kind.startswith("granitemoe"):
        shared = number("shared_intermediate_size")
        yield from granite_experts(tiny, number("num_local_experts"), shared)
        return
    n, width = number("moe_num_experts", "n_routed_experts"), number("moe_intermediate_size")
    shared = width * number("moe_num_shared_experts", "n_shared_experts")
    is_glm = tiny.kind == "glm4_moe"
    bias = "gate" if is_glm else "moe_statics"
    yield "mlp.gate.weight", (n, tiny.dim)
    yield f"mlp.{bias}.e_score_correction_bias", (n,) if is_glm else (1, n)
    for at, rows in [*((f"experts.{e}", width) for e in range(n)), ("shared_experts", shared)]:
        yield from network(f"mlp.{at}", tiny.dim, rows)


def _oss_experts(tiny: Tiny) -> Iterator[Named]:
    """All experts' matrices in one, with inputs before rows; gate and up in turns."""
    n = int(str(KINDS[tiny.kind]["num_local_experts"]))
    yield from linear("mlp.router", n, tiny.dim, bias=True)
    for name, rows, columns in (
        ("gate_up_proj", 2 * tiny.hidden_dim, tiny.dim), ("down_proj", tiny.dim, tiny.hidden_dim),
    ):  # fmt: skip
        yield f"mlp.experts.{name}", (n, columns, rows)
        yield f"mlp.experts.{name}_bias", (n, rows)
