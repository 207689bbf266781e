"""The hyperparameters of a model, under Meta's names, wherever they were read.

`from_gguf.py` reads them from a file, `from_hf.py` from config.json, and the converter writes them
(convert/gguf_keys.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# What no model has more of; larger numbers are mistakes, or meant to exhaust memory.
MAX_LAYERS, MAX_DIM, MAX_VOCAB, MAX_CTX = 1024, 1 << 20, 1 << 22, 1 << 30
MIN_HEAD_DIM = 16  # which the kernels take
DEFAULT_THETA = 10000.0  # GGUF's and transformers' base where none is given
# Mistral's window in a GGUF file: llama.cpp's `llama`, as which such files run there, has none.
WINDOW_KEY = "halfbyte.sliding_window"


class Key(NamedTuple):
    """Where a hyperparameter stands: in GGUF behind "<architecture>.", and in config.json."""

    gguf: str
    hf: str


# Field of ModelConfig -> its keys. What else RoPE takes has several spellings: see the readers.
KEYS = {
    "n_ctx_train": Key("context_length", "max_position_embeddings"),
    "dim": Key("embedding_length", "hidden_size"),
    "n_layers": Key("block_count", "num_hidden_layers"),
    "hidden_dim": Key("feed_forward_length", "intermediate_size"),
    "n_heads": Key("attention.head_count", "num_attention_heads"),
    "n_kv_heads": Key("attention.head_count_kv", "num_key_value_heads"),
    "head_dim": Key("attention.key_length", "head_dim"),
    "norm_eps": Key("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    "rope_theta": Key("rope.freq_base", "rope_theta"),
    "sliding_window": Key("attention.sliding_window", "sliding_window"),
    "vocab_size": Key("vocab_size", "vocab_size"),
    # Those of families that read them: see `option_keys`.
    "embedding_scale": Key("embedding_scale", "embedding_multiplier"),
    "residual_scale": Key("residual_scale", "residual_multiplier"),
    "attention_scale": Key("attention.scale", "attention_multiplier"),
    "logit_scale": Key("logit_scale", "logits_scaling"),
    "attn_softcap": Key("attn_logit_softcapping", "attn_logit_softcapping"),
    "final_softcap": Key("final_logit_softcapping", "final_logit_softcapping"),
}


# Fields that say nothing but for families that read them, and all of those that are factors.
OPTIONS = (
    "embedding_scale", "residual_scale", "attention_scale", "logit_scale",
    "attn_softcap", "final_softcap",
)  # fmt: skip


def option_keys(*fields: str) -> frozenset[str]:
    """The keys of some hyperparameters on both sides: what a family `reads`."""
    return frozenset(key for field in fields for key in KEYS[field])


@dataclass(frozen=True, slots=True)
class RopeConfig:
    """Rotary embedding of all head_dim features.

    Attributes:
        theta: the base of the angles.
        factor: positions are divided by it (linear scaling).
        divisors: what each pair's frequency is divided by beside that (Llama 3's scaling), where
            config.json says so; a GGUF file has them as a tensor (tensors.ROPE_FREQS).
    """

    theta: float
    factor: float = 1.0
    divisors: tuple[float, ...] | None = None

    def frequencies(self, head_dim: int) -> NDArray[np.float64]:
        """The angle per position of each pair of a head: float64 (head_dim / 2,)."""
        return self.theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim) / self.factor


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model's shape; its family says what follows from it (families/family.py).

    Attributes:
        architecture: the family's name, as GGUF has it.
        tied: whether the embedding is the output projection too.
        sliding_window: positions that a token sees, its own included; 0: all before it.
        embedding_scale: embeddings are multiplied by it.
        residual_scale: what layers add is multiplied by it.
        attention_scale: scores are multiplied by it; 0: 1 / sqrt(head_dim).
        logit_scale: logits are divided by it.
        attn_softcap: scores become c tanh(score / c); 0: they stay.
        final_softcap: logits likewise.
        qkv_bias, out_bias, mlp_bias: whether projections to q, k and v, attention's output and the
            feed-forward network have biases, in families that leave it open.
        xielu: that activation's alpha_p, alpha_n, beta and eps in each layer, where it is used.
    """

    architecture: str
    name: str
    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    n_ctx_train: int
    norm_eps: float
    rope: RopeConfig
    tied: bool = False
    sliding_window: int = 0
    embedding_scale: float = 1.0
    residual_scale: float = 1.0
    attention_scale: float = 0.0
    logit_scale: float = 1.0
    attn_softcap: float = 0.0
    final_softcap: float = 0.0
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    xielu: tuple[tuple[float, float, float, float], ...] = ()

    @property
    def group(self) -> int:
        """Query heads that share a KV head."""
        return self.n_heads // self.n_kv_heads

    @property
    def q_dim(self) -> int:
        """Features of a token's queries."""
        return self.n_heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Features of a token's keys, and of its values."""
        return self.n_kv_heads * self.head_dim
