"""The hyperparameters of a model, under Meta's names, wherever they were read.

`from_gguf.py` reads them from a file, `from_hf.py` from config.json, and the converter writes them
(convert/gguf_keys.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.layer_sizes import LayerShapes, LayerSizes
from halfbyte.families.rope import LongRope, Temperature, Yarn
from halfbyte.families.states import Recurrence
from halfbyte.families.tensors import ROPE_FREQS, ROPE_LONG, ROPE_SHORT
from halfbyte.families.xielu import Xielu
from halfbyte.lazy_dataclass import dataclass

# What no model has more of; larger numbers are mistakes, or meant to exhaust memory.
MAX_LAYERS, MAX_DIM, MAX_VOCAB, MAX_CTX = 1024, 1 << 20, 1 << 22, 1 << 30
MIN_HEAD_DIM = 16  # which the kernels take
DEFAULT_THETA = 10000.0  # GGUF's and transformers' base where none is given
# Mistral's window in a GGUF file: llama.cpp's `llama`, as which such files run there, has none.
WINDOW_KEY = "halfbyte.sliding_window"
# Further layers that have a network in place of experts, which llama.cpp knows in no architecture.
DENSE_KEY = "halfbyte.dense_layers"
# Behind "<architecture>.": every so many layers one has experts.
STEP_KEY = "interleave_moe_layer_step"
# Behind "<architecture>.", for families whose layers differ: every so many layers one without the
# window, or whether each has it.
PATTERN_KEY = "attention.sliding_window_pattern"
TEMPERATURE_KEY = "attention.temperature_scale"
SECTIONS_KEY = "rope.dimension_sections"
ROTATED_LOCALLY_KEY = "rope.dimension_count_swa"
# YaRN's attention factor in words of DeepSeek's; llama.cpp reads it in few architectures.
LOG_MULTIPLIER_KEY = "rope.scaling.yarn_log_multiplier"


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
# Field of ExpertsConfig -> its key in GGUF; config.json's differ by family (Family.experts).
EXPERT_KEYS = {
    "n_experts": "expert_count",
    "n_used": "expert_used_count",
    "hidden_dim": "expert_feed_forward_length",
    "n_shared": "expert_shared_count",
    "shared_dim": "expert_shared_feed_forward_length",
    "n_dense_layers": "leading_dense_block_count",
    "gating": "expert_gating_func",
    "normalizes": "expert_weights_norm",
    "scale": "expert_weights_scale",
    "n_groups": "expert_group_count",
    "n_groups_used": "expert_group_used_count",
}
# Name of a gating -> GGUF's number of it.
GATINGS = {"softmax": 1, "sigmoid": 2, "softmax_of_used": 3}


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
    """Rotary embedding of a head's first features.

    Attributes:
        theta: the base of the angles.
        factor: positions are divided by it (linear scaling, and YaRN's).
        divisors: what each pair's frequency is divided by beside that (Llama 3's scaling), where
            config.json says so; a GGUF file has them as a tensor (tensors.ROPE_FREQS).
        n_features: how many of a head's features are rotated, from the first on; 0: all.
        yarn, longrope: other ways to stretch it, one at most.
        sections: how many pairs follow which axis of an image; texts have one for all.
    """

    theta: float
    factor: float = 1.0
    divisors: tuple[float, ...] | None = None
    n_features: int = 0
    yarn: Yarn | None = None
    longrope: LongRope | None = None
    sections: tuple[int, ...] = ()

    @property
    def attention_factor(self) -> float:
        """What cosines and sines are multiplied by."""
        stretched = self.yarn or self.longrope
        return stretched.attention_factor if stretched else 1.0

    @property
    def stated_factors(self) -> list[tuple[str, tuple[float, ...]]]:
        """The divisors that config.json says, under the names of the tensors of a GGUF file."""
        stretched = self.longrope
        stated = (
            (ROPE_FREQS, self.divisors),
            (ROPE_SHORT, stretched.short if stretched else None),
            (ROPE_LONG, stretched.long if stretched else None),
        )
        return [(name, values) for name, values in stated if values is not None]

    def frequencies(
        self,
        head_dim: int,
        n_ctx: int = 0,
        factors: Mapping[str, NDArray[np.float64]] | None = None,
    ) -> NDArray[np.float64]:
        """The angle per position of each rotated pair of a head: float64 (pairs,).

        Args:
            head_dim: features of a head.
            n_ctx: the longest context that is to be seen, by which LongRoPE's divisors are chosen.
            factors: divisors that a file has as tensors, by their names; None: those stated here.
        """
        if factors is None:
            factors = {name: np.array(values) for name, values in self.stated_factors}
        n = self.n_features or head_dim
        plain = self.theta ** (-np.arange(0, n, 2, dtype=np.float64) / n)
        if self.longrope is not None:
            return plain / factors[ROPE_LONG if n_ctx > self.longrope.n_ctx else ROPE_SHORT]
        divided = plain / self.factor
        if self.yarn is not None:
            kept = self.yarn.kept(self.theta, n)
            return divided * (1 - kept) + plain * kept
        return divided / factors[ROPE_FREQS] if ROPE_FREQS in factors else divided


@dataclass(frozen=True, slots=True)
class Ropes:
    """What a file or config.json says of rotation; see ModelConfig."""

    rope: RopeConfig
    local: RopeConfig | None
    temperature: Temperature | None


@dataclass(frozen=True, slots=True)
class ExpertsConfig:
    """Experts that take the place of a layer's feed-forward network, and who gets which rows.

    Attributes:
        n_experts, n_used: of a layer, and for each token.
        hidden_dim: of each of them.
        n_shared, shared_dim: experts that all tokens go through, and their hidden_dim together.
        n_dense_layers: the first layers, which have a network instead.
        dense_layers: others that have one.
        is_fused: whether a file has gate and up of all experts in one tensor.
        gating: how the router's logits become scores, a key of GATINGS: the softmax of all, the
            sigmoid of each, or the softmax of those that are used.
        normalizes: whether the scores of those used are divided by their sum.
        scale: what they are multiplied by at last.
        n_groups, n_groups_used: of the experts, of which a token's have to come.
        n_group_best: how many of a group's best scores together are the group's: 1 or 2.
    """

    n_experts: int
    n_used: int
    hidden_dim: int
    n_shared: int = 0
    shared_dim: int = 0
    n_dense_layers: int = 0
    gating: str = "softmax"
    normalizes: bool = True
    scale: float = 1.0
    n_groups: int = 1
    n_groups_used: int = 1
    dense_layers: tuple[int, ...] = ()
    is_fused: bool = False
    n_group_best: int = 2


@dataclass(frozen=True, slots=True)
class ModelConfig(LayerShapes):
    """A model's shape; its family says what follows from it (families/family.py).

    Attributes:
        architecture: the family's name, as GGUF has it.
        tied: whether the embedding is the output projection too.
        sliding_window: positions that a token sees, its own included; 0: all before it.
        embedding_scale: embeddings are multiplied by it.
        residual_scale: what layers add is multiplied by it.
        attention_scale: scores are multiplied by it; 0: 1 / sqrt(head_dim).
        logit_scale: logits are divided by it; or multiplied, in some families.
        attn_softcap: scores become c tanh(score / c); 0: they stay.
        final_softcap: logits likewise.
        qkv_bias, out_bias, mlp_bias: whether projections to q, k and v, attention's output and the
            feed-forward network have biases, in families that leave it open.
        head_norms: whether each head of q and k has a norm, likewise.
        xielu: that activation's numbers in each layer, where it is used; of a checkpoint they are
            known when its tensors are.
        sliding_layers: whether each layer has that window; (): all have it.
        attention_window: positions that a token sees in the other layers, where somebody asked for
            that (attention_window.py); 0: all before it.
        attention_sinks: first positions that it sees there beside them.
        rope_layers: whether each layer rotates queries and keys; (): all do.
        local_rope: rotary embedding of the layers with a window, where it is another one.
        temperature: how queries grow with their position, if they do.
        experts: None where all layers have a feed-forward network.
        layer_heads: query heads of each layer, where they differ; `n_heads` is the most of them.
        gate_dim: how many of attention's features share a gate; 0: there are no gates.
        latent: None where keys and values are kept as they are; else `n_kv_heads` is 1, and
            `head_dim` the features of what is kept.
        sizes: None where layers are alike; else `n_kv_heads` are the fewest of any layer,
            `hidden_dim` the most, and `head_dim` is of layers without the window.
        per_layer_dim: features of an embedding that each layer has of its own; 0: there are none.
        recurrent: the sizes of recurrent layers; None where there are none.
        recurrent_layers: whether each layer is one of them.
        attention_layers: whether each layer has keys and values; (): all but the recurrent ones.
        network_layers: whether each layer has a network; (): all have.
        n_next: layers behind these that guess further ahead (next_layer.py).
        next_layer: its number in a file, where it is one of those itself; 0: it is none.
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
    head_norms: bool = False
    xielu: tuple[Xielu, ...] = ()
    sliding_layers: tuple[bool, ...] = ()
    attention_window: int = 0
    attention_sinks: int = 0
    rope_layers: tuple[bool, ...] = ()
    local_rope: RopeConfig | None = None
    temperature: Temperature | None = None
    experts: ExpertsConfig | None = None
    layer_heads: tuple[int, ...] = ()
    gate_dim: int = 0
    latent: LatentConfig | None = None
    sizes: LayerSizes | None = None
    per_layer_dim: int = 0
    n_next: int = 0
    next_layer: int = 0
    recurrent: Recurrence | None = None
    recurrent_layers: tuple[bool, ...] = ()
    attention_layers: tuple[bool, ...] = ()
    network_layers: tuple[bool, ...] = ()

    def rope_of(self, layer: int) -> RopeConfig | None:
        """Rotary embedding of a layer, if it has any."""
        if self.rope_layers and not self.rope_layers[layer]:
            return None
        return self.local_rope if self.local_rope and self.own_window(layer) else self.rope

    @property
    def scales_queries(self) -> bool:
        """Whether queries are multiplied by anything beside 1 / sqrt(head_dim)."""
        return bool(self.attention_scale or self.temperature)

    def query_factors(self, begin: int, end: int, layer: int = 0) -> NDArray[np.float64]:
        """By what, at positions begin .. end - 1, in a layer.

        Where a window was asked for, it is that of the furthest position that sees all.
        """
        head_dim = self.head_dim_of(layer)
        scale = self.attention_scale * math.sqrt(head_dim) if self.attention_scale else 1.0
        if self.temperature is None:
            return np.full(end - begin, scale)
        positions = np.arange(begin, end)
        if self.n_exact:
            positions = np.minimum(positions, self.n_exact - 1)
        return scale * self.temperature.factors(positions)

    def has_experts(self, i: int) -> bool:
        """Whether layer i has experts."""
        e = self.experts
        if e is None or not self.has_network(i):
            return False
        return i >= e.n_dense_layers and i not in e.dense_layers
