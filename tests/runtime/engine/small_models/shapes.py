"""What the models are: dense ones of every format, families, experts, recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from halfbyte.families.config import ExpertsConfig, ModelConfig, RopeConfig
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.layer_sizes import LayerSizes
from halfbyte.families.mamba2_config import Mamba2
from halfbyte.families.rope import Temperature, Yarn
from halfbyte.families.short_conv_config import ShortConv
from halfbyte.kernels.layouts.panels import PANEL_FORMATS, PanelFormat

N_CTX = 1024


@dataclass(frozen=True)
class Shape:
    """What makes one model: `format_of` a format's name or a rule from a tensor's name to it."""

    format_of: str | Callable[[str], str]
    kv_type: str
    dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    hidden_dim: int
    vocab_size: int
    n_layers: int = 2
    is_tied: bool = False
    architecture: str = "llama"
    rope_factor: float = 1
    sliding_window: int = 0
    has_divisors: bool = False
    experts: ExpertsConfig | None = None
    arithmetic: str = "int8"
    changes: dict[str, Any] = field(default_factory=dict)

    def config(self) -> ModelConfig:
        """As a file would state it."""
        config = ModelConfig(
            architecture=self.architecture, name="small", dim=self.dim, hidden_dim=self.hidden_dim,
            n_layers=self.n_layers, n_heads=self.n_heads, n_kv_heads=self.n_kv_heads,
            head_dim=self.head_dim, vocab_size=self.vocab_size, n_ctx_train=N_CTX,
            norm_eps=1e-5, rope=RopeConfig(1e4, self.rope_factor),
            sliding_window=self.sliding_window, tied=self.is_tied, experts=self.experts,
        )  # fmt: skip
        return replace(config, **self.changes)

    def format(self, name: str) -> PanelFormat:
        """That of a tensor."""
        of = self.format_of
        return PANEL_FORMATS[of if isinstance(of, str) else of(name)]


def _every_format(name: str) -> str:
    for part, fmt in (
        ("token_embd", "Q4_1"), ("attn_q", "Q8_0"), ("attn_k", "Q4_0"), ("attn_v", "F16"),
        ("attn_output", "Q4_0"), ("ffn_gate", "BF16"), ("ffn_up", "F32"), ("ffn_down", "Q4_1"),
    ):  # fmt: skip
        if part in name:
            return fmt
    return "Q8_0"


def _experts_format(name: str) -> str:
    if "ffn_gate_inp" in name:
        return "F32"
    return "MXFP4" if "down" in name else "Q8_0"


# All that depends on positions and layers.
POSITIONS = {
    "rope": RopeConfig(1e4, 4.0, n_features=16, yarn=Yarn(64, 1.2)),
    "local_rope": RopeConfig(1e3, n_features=20),
    "sliding_window": 50,
    "sliding_layers": (True, False, True),
    "rope_layers": (True, True, False),
    "attention_scale": 0.25,
    "temperature": Temperature(0.2, 40),
}


def _latents(latent: LatentConfig) -> dict[str, Any]:
    rope = RopeConfig(1e4, 4.0, n_features=latent.rope_dim, yarn=Yarn(64, 1.0))
    return {"latent": latent, "rope": rope, "attention_scale": latent.attention_scale(4.0)}


# Multi-query, grouped and full attention; rows that fill no tile and rows that do; tied and not.
SHAPES = {
    "F32": Shape("F32", "f32", 48, 3, 1, 16, 100, 70),
    "F16": Shape("F16", "f32", 96, 4, 2, 24, 80, 64),
    "BF16": Shape("BF16", "f32", 72, 4, 4, 18, 52, 45, is_tied=True),
    "Q8_0": Shape("Q8_0", "f16", 128, 4, 2, 32, 160, 333),
    "Q4_0": Shape("Q4_0", "f16", 128, 8, 8, 16, 192, 333, is_tied=True),
    "Q4_1": Shape("Q4_1", "f32", 192, 3, 1, 64, 96, 257),
    "F32-f16-cache": Shape("F32", "f16", 80, 2, 1, 40, 33, 97),
    "mix": Shape(_every_format, "f16", 128, 4, 2, 32, 224, 301),
    "mix-bf16": Shape(_every_format, "f32", 128, 4, 2, 32, 224, 301, arithmetic="bf16"),
    # Rows of floats that are no multiple of a block, all of them rounded.
    "F16-bf16": Shape("F16", "f32", 72, 4, 2, 24, 80, 64, arithmetic="bf16"),
    # Biases of q, k and v and a group that is no power of two; a window; both scalings of RoPE.
    "Qwen2": Shape("F32", "f32", 112, 7, 1, 16, 96, 150, architecture="qwen2"),
    "Qwen3": Shape("F32", "f32", 96, 4, 2, 24, 80, 64, architecture="qwen3"),
    "window": Shape("Q4_0", "f16", 96, 4, 2, 24, 96, 150, sliding_window=50, rope_factor=4),
    "int8": Shape("F32", "int8", 96, 3, 1, 32, 64, 99),
    "int4": Shape("F32", "int4", 96, 4, 2, 48, 80, 64, sliding_window=50),
    "Llama3": Shape("F32", "f32", 96, 3, 1, 16, 64, 99, has_divisors=True),
    # Biases everywhere; LayerNorm and a plain network; GeGLU; factors; norms behind what they norm.
    "biases": Shape(
        "Q4_1",
        "f16",
        96,
        4,
        2,
        24,
        96,
        150,
        changes={"qkv_bias": True, "out_bias": True, "mlp_bias": True},
    ),
    "StarCoder2": Shape("F32", "f32", 72, 4, 2, 24, 100, 70, architecture="starcoder2"),
    "Gemma": Shape("Q8_0", "f16", 96, 2, 1, 32, 160, 150, is_tied=True, architecture="gemma"),
    "Granite": Shape(
        "F32",
        "f32",
        80,
        4,
        2,
        24,
        52,
        70,
        architecture="granite",
        changes={
            "embedding_scale": 2.0,
            "residual_scale": 0.4,
            "attention_scale": 0.3,
            "logit_scale": 3.0,
            "attn_softcap": 2.0,
            "final_softcap": 1.5,
        },
    ),
    "OLMo2": Shape("F32", "f32", 100, 3, 1, 16, 52, 70, architecture="olmo2"),
    # Layers with a window rotate, and others do not.
    "EXAONE4": Shape(
        "F32", "f32", 64, 4, 2, 16, 52, 70, n_layers=3, architecture="exaone4", sliding_window=50,
        changes={"sliding_layers": (True, False, True), "rope_layers": (True, False, True)},
    ),
    # Attention and network of the same norm, which is not RMSNorm.
    "Cohere2": Shape(
        "F32", "f32", 64, 4, 2, 16, 52, 70, n_layers=2, architecture="cohere2", sliding_window=50,
        changes={"sliding_layers": (True, False), "rope_layers": (True, False),
                 "logit_scale": 0.25},
    ),
    # Layers with fewer heads, gates of what attention gives.
    "Laguna": Shape(
        "F32", "f32", 72, 7, 1, 16, 52, 70, architecture="laguna",
        changes={"layer_heads": (3, 7), "gate_dim": 16, "sliding_window": 50,
                 "sliding_layers": (False, True), "local_rope": RopeConfig(1e3, n_features=8)},
    ),
    # Heads of two sizes, in numbers of their own; values made of keys; layers that read the keys of
    # others, with a window and without.
    "Gemma4": Shape(
        "F32", "f32", 64, 4, 2, 32, 80, 99, n_layers=5, is_tied=True, architecture="gemma4",
        sliding_window=50,
        changes={"sliding_layers": (True, False, True, True, False), "attention_scale": 0.3,
                 "rope": RopeConfig(1e4, n_features=16),
                 "local_rope": RopeConfig(1e3, n_features=24),
                 "sizes": LayerSizes((24, 32, 24, 24, 32), (2, 4, 2, 2, 4), (52, 52, 52, 80, 80),
                                     2, (False, True, False, False, False))},
    ),
    # With fused matrices, whose parts fill no tile.
    "positions": Shape(
        "F32", "f32", 96, 4, 2, 24, 50, 99, n_layers=3, architecture="phi3", changes=POSITIONS
    ),
    # Experts: of floats; quantized, with one router that prefers the first of them.
    "Qwen3MoE": Shape("F32", "f32", 64, 2, 1, 24, 48, 64, architecture="qwen3moe",
                      experts=ExpertsConfig(6, 2, 40)),
    # Compressed keys, and experts of all kinds.
    "DeepSeek": Shape(_experts_format, "f32", 64, 4, 1, 48, 96, 150, architecture="deepseek2",
                      experts=ExpertsConfig(8, 3, 64, 1, 64, 1, "sigmoid", scale=2.5, n_groups=2,
                                            n_groups_used=1),
                      changes=_latents(LatentConfig(0, 32, 32, 16, 32))),
    "experts": Shape(_experts_format, "f16", 96, 4, 2, 24, 96, 150, architecture="qwen3moe",
                     experts=ExpertsConfig(9, 3, 96, gating="sigmoid", scale=1.5, n_groups=3,
                                           n_groups_used=2)),
    "DeepSeek-bf16": Shape(_experts_format, "f32", 64, 4, 1, 48, 96, 150, architecture="deepseek2",
                           experts=ExpertsConfig(8, 3, 64, 1, 64, 1, "sigmoid", scale=2.5),
                           changes=_latents(LatentConfig(0, 32, 32, 16, 32)), arithmetic="bf16"),
    "gpt-oss": Shape("F32", "f32", 96, 4, 2, 24, 96, 150, architecture="gpt-oss",
                     sliding_window=50, experts=ExpertsConfig(9, 3, 96, gating="softmax_of_used"),
                     changes={"sliding_layers": (True, False)}),
    # Gated delta nets, in both orders of value heads, with experts and without.
    "Qwen3Next": Shape("F32", "f32", 64, 4, 2, 24, 48, 64, n_layers=3, architecture="qwen3next",
                       experts=ExpertsConfig(6, 2, 40, shared_dim=36),
                       changes={"recurrent": DeltaNet(2, 4, 32, 48, 4),
                                "recurrent_layers": (True, False, True),
                                "rope": RopeConfig(1e4, n_features=8)}),
    "Qwen35": Shape(_every_format, "f16", 96, 4, 2, 32, 96, 150, n_layers=3,
                    architecture="qwen35",
                    changes={"recurrent": DeltaNet(2, 6, 32, 32, 3, is_tiled=True),
                             "recurrent_layers": (False, True, True)}),
    # Recurrent layers: first, last and in a row; features that fill no vector.
    "LFM2": Shape("F32", "f32", 72, 4, 2, 24, 80, 64, n_layers=3, architecture="lfm2",
                  changes={"recurrent": ShortConv(72, 3),
                           "recurrent_layers": (True, False, True)}),
    "LFM2MoE": Shape(_experts_format, "f16", 96, 4, 2, 24, 96, 150, n_layers=4,
                     architecture="lfm2moe",
                     experts=ExpertsConfig(9, 3, 96, n_dense_layers=1, gating="sigmoid"),
                     changes={"recurrent": ShortConv(96, 4, bias=True),
                              "recurrent_layers": (False, True, True, False)}),
    # Heads that fill no vector, in groups; limits of steps in time; layers of one kind each.
    "Granite4": Shape("F32", "f32", 72, 4, 2, 24, 52, 64, n_layers=3, architecture="granitehybrid",
                      changes={"recurrent": Mamba2(9, 20, 12, 3, 4, (0.4, 1.5)),
                               "recurrent_layers": (True, False, True), "residual_scale": 0.5,
                               "rope_layers": (False,) * 3}),
    "Nemotron": Shape(_experts_format, "f16", 96, 4, 2, 24, 96, 150, n_layers=5,
                      architecture="nemotron_h_moe",
                      experts=ExpertsConfig(9, 3, 96, 1, 64, gating="sigmoid", dense_layers=(4,)),
                      changes={"recurrent": Mamba2(4, 72, 32, 1, 3),
                               "recurrent_layers": (True, False, False, True, False),
                               "attention_layers": (False, False, True, False, False),
                               "network_layers": (False, True, False, False, True),
                               "rope_layers": (False,) * 5}),
}  # fmt: skip


# Compressed keys, of which nothing fills a tile.
LATENTS = Shape(
    "F32",
    "f16",
    72,
    4,
    1,
    48,
    50,
    70,
    architecture="deepseek2",
    changes=_latents(LatentConfig(40, 32, 24, 16, 20, 1.0)),
)
