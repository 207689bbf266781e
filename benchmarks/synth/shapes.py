"""Shapes of models whose speed is measured: real ones, most with fewer layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

N_VOCAB = 32016  # Code Llama's, which no power of two divides beyond 16


class Local(NamedTuple):
    """Heads of Gemma 4's layers with a window: of each, and KV heads; every so many have none."""

    head_dim: int
    n_kv_heads: int
    every: int


class Latent(NamedTuple):
    """Compressed keys and values: features of what they and queries are made of, and of heads."""

    q_rank: int
    rank: int
    nope: int
    rope: int
    value: int


class Net(NamedTuple):
    """Gated delta nets, in all but every fourth layer: heads, and features of each."""

    n_keys: int
    n_values: int
    dim: int

    @property
    def channels(self) -> int:
        """Features of queries, keys and values together."""
        return (2 * self.n_keys + self.n_values) * self.dim


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides a Llama model's speed."""

    n_layers: int
    dim: int
    hidden_dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int = 0  # 0: dim / n_heads
    n_experts: int = 0
    n_used: int = 0
    architecture: str = "llama"  # GGUF's name of a family that has such models
    latent: Latent | None = None
    local: Local | None = None
    n_vocab: int = N_VOCAB
    n_next: int = 0  # layers behind the others that guess a token further ahead, in 8 bits
    convolutions: str = ""  # c for each layer that is LFM2's short convolution, a for the others
    dense_dim: int = 0  # hidden_dim of a first layer that has a network in place of experts
    net: Net | None = None

    def is_recurrent(self, i: int) -> bool:
        """Whether a layer is a gated delta net."""
        return self.net is not None and (i + 1) % 4 != 0


SHAPES = {
    "7b": Shape(32, 4096, 11008, 32, 32),
    "1b": Shape(22, 2048, 5632, 32, 4),
    "160m": Shape(12, 768, 2048, 12, 12),
    # Qwen3-30B-A3B, 8 of its 48 layers.
    "qwen3moe": Shape(8, 2048, 768, 32, 4, head_dim=128, n_experts=128, n_used=8,
                      architecture="qwen3moe"),
    # gpt-oss-20b, 8 of its 24 layers.
    "gptoss": Shape(8, 2880, 2880, 64, 8, head_dim=64, n_experts=32, n_used=4,
                    architecture="gpt-oss"),
    # GLM-4.7-Flash, 4 of its 47 layers.
    "glm-flash": Shape(4, 2048, 1536, 20, 1, 576, 64, 4, architecture="deepseek2",
                       latent=Latent(768, 512, 192, 64, 256)),
    # Gemma 4 12B, 12 of its 48 layers; Gemma 3 4B, Qwen3 4B and StarCoder2 3B, half of theirs.
    "gemma4": Shape(12, 3840, 15360, 16, 1, head_dim=512, architecture="gemma4",
                    local=Local(256, 8, 6)),
    "gemma3": Shape(17, 2560, 10240, 8, 4, head_dim=256, architecture="gemma3"),
    "qwen3": Shape(18, 2560, 9728, 32, 8, head_dim=128, architecture="qwen3"),
    "starcoder2": Shape(15, 3072, 12288, 24, 2, head_dim=128, architecture="starcoder2"),
    # The same with 8 layers, all of its vocabulary and its layer that guesses.
    "glm-next": Shape(8, 2048, 1536, 20, 1, 576, 64, 4, architecture="deepseek2",
                      latent=Latent(768, 512, 192, 64, 256), n_vocab=154880, n_next=1),
    # LFM2-1.2B; LFM2-8B-A1B, 8 of its 24 layers.
    "lfm2": Shape(16, 2048, 8192, 32, 8, 64, architecture="lfm2", convolutions="ccaccaccacacacac"),
    "lfm2moe": Shape(8, 2048, 1792, 32, 8, 64, 32, 4, architecture="lfm2moe",
                     convolutions="ccacccac", dense_dim=7168),
    # Qwen3.5-35B-A3B, 8 of its 40 layers.
    "qwen35moe": Shape(8, 2048, 512, 16, 2, 256, 256, 8, architecture="qwen35moe",
                       net=Net(16, 32, 128)),
    # Qwen3.5-4B, 16 of its 32 layers, and 4: a conversation with that takes a minute.
    "qwen35": Shape(16, 2560, 9216, 16, 4, 256, architecture="qwen35", net=Net(16, 32, 128)),
    "qwen35-cut": Shape(4, 2560, 9216, 16, 4, 256, architecture="qwen35", net=Net(16, 32, 128)),
}  # fmt: skip


def is_local(shape: Shape, i: int) -> bool:
    """Whether layer i has the window and the heads of such layers."""
    return shape.local is not None and (i + 1) % shape.local.every != 0


def head_sizes(shape: Shape, i: int) -> tuple[int, int]:
    """Features of a head of layer i, and its KV heads."""
    if shape.local is not None and is_local(shape, i):
        return shape.local.head_dim, shape.local.n_kv_heads
    return shape.head_dim or shape.dim // shape.n_heads, shape.n_kv_heads
