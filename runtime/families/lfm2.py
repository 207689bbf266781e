"""LFM2 and LFM2.5: short convolutions in most layers, attention in the others.

A convolution takes three positions, and its input and output are multiplied by numbers that are
made of the same row (arXiv:2511.23404). Each head of q and k goes through a norm; a GGUF file has
them in the order of halves, and calls the last norm that of the embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from halfbyte.families import blocks
from halfbyte.families.config import Key, ModelConfig
from halfbyte.families.experts import Names, network, network_tensors
from halfbyte.families.family import DEFAULTS, Family, RecurrentRules
from halfbyte.families.neutral import among
from halfbyte.families.short_conv import convolution, convolution_tensors
from halfbyte.families.short_conv_config import TAPS_KEY
from halfbyte.families.short_conv_from_gguf import with_short_conv as from_gguf
from halfbyte.families.short_conv_from_hf import SHORT_CONV_KEYS
from halfbyte.families.short_conv_from_hf import with_short_conv as from_hf
from halfbyte.families.stages import Norm, Stage
from halfbyte.families.tensors import TensorSpec

_LAST = "token_embd_norm"
# What a checkpoint calls what others have.
_NAMES = {
    "input_layernorm": "operator_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.o_proj": "self_attn.out_proj",
    "self_attn.q_norm": "self_attn.q_layernorm",
    "self_attn.k_norm": "self_attn.k_layernorm",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.up_proj": "feed_forward.w3",
    "mlp.down_proj": "feed_forward.w2",
    "model.norm": "model.embedding_norm",
}
_NO_EXPERTS = Names()


def stages(c: ModelConfig, *, names: Names = _NO_EXPERTS) -> Iterator[Stage]:
    """The forward pass; relatives have experts."""
    yield from blocks.embedding(c)
    for i in range(c.n_layers):
        yield from convolution(c, i) if c.is_recurrent(i) else blocks.attention(c, i, norms=True)
        yield from network(c, i, names)
    yield Norm(_LAST, of_logits=True)
    yield blocks.head(c)


def _convolution_tensors(c: ModelConfig, i: int) -> Iterator[TensorSpec]:
    norm = f"model.layers.{i}.input_layernorm"
    yield from blocks.norm_tensors(f"blk.{i}.attn_norm", norm, c.dim)
    yield from convolution_tensors(c, i)


def tensors(c: ModelConfig, *, names: Names = _NO_EXPERTS) -> Iterator[TensorSpec]:
    """What it takes, under the names that its checkpoints have."""
    for spec in _usual_tensors(c, names):
        name, hf_name = spec.name.replace("output_norm", _LAST), spec.hf_name
        for usual, own in _NAMES.items():
            hf_name = hf_name.replace(usual, own)
        yield replace(spec, name=name, hf_name=hf_name)


def _usual_tensors(c: ModelConfig, names: Names) -> Iterator[TensorSpec]:
    yield from blocks.embedding_tensors(c)
    for i in range(c.n_layers):
        if c.is_recurrent(i):
            yield from _convolution_tensors(c, i)
        else:
            yield from blocks.attention_tensors(c, i, norms=True)
        yield from network_tensors(c, i, names)
    yield from blocks.logits_tensors(c)


RECURRENT = RecurrentRules(from_gguf, from_hf)
READS = SHORT_CONV_KEYS | {TAPS_KEY}
OWN_KEYS = {"norm_eps": Key("attention.layer_norm_rms_epsilon", "norm_eps")}
SIZES = {
    **DEFAULTS,
    "vocab_size": 65536,
    "num_key_value_heads": 8,
    "max_position_embeddings": 128000,
    "norm_eps": 1e-5,
    "rope_theta": 1e6,
    "tie_word_embeddings": True,
    "conv_L_cache": 3,
}

FAMILY = Family(
    architecture="lfm2",
    rotates_halves=True,
    stages=stages,
    tensors=tensors,
    defaults={
        "lfm2": {
            **SIZES,
            "hidden_size": 2560,
            "intermediate_size": 12288,
            "full_attn_idxs": None,
            "block_multiple_of": 256,
            "block_ffn_dim_multiplier": 1.0,
            "block_auto_adjust_ff_dim": True,
        },
    },
    only={
        "use_pos_enc": among(None, True),
        "block_use_swiglu": among(None, True),
    },
    reads=READS,
    own_keys=OWN_KEYS,
    recurrent=RECURRENT,
)
