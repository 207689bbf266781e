"""Families of attention and a network in each layer, whatever their norms and biases."""

from __future__ import annotations

from collections.abc import Iterator

from . import experts
from .parts import GRANITE, linear
from .spec import Config, Named, Tiny

KINDS: dict[str, Config] = {
    "llama_biases": {"attention_bias": True, "mlp_bias": True},
    "starcoder2": {"model_type": "starcoder2", "architectures": ["Starcoder2ForCausalLM"],
                   "hidden_act": "gelu_pytorch_tanh", "norm_epsilon": 1e-5, "use_bias": True,
                   "sliding_window": 24},
    "gemma": {"model_type": "gemma", "architectures": ["GemmaForCausalLM"],
              "hidden_act": "gelu_pytorch_tanh"},
    "gemma2": {"model_type": "gemma2", "architectures": ["Gemma2ForCausalLM"], "sliding_window": 24,
               "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 24,
               "attn_logit_softcapping": 3.0, "final_logit_softcapping": 2.0},
    "gemma3": {"model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"],
               "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 24,
               "sliding_window": 24, "rope_scaling": {"rope_type": "linear", "factor": 8.0},
               "rope_local_base_freq": 1e4, "sliding_window_pattern": 3,
               "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]},
    "glm4": {"model_type": "glm4", "architectures": ["Glm4ForCausalLM"], "attention_bias": True,
             "partial_rotary_factor": 0.5, "pad_token_id": 0},
    "starcoder": {"model_type": "gpt_bigcode", "architectures": ["GPTBigCodeForCausalLM"],
                  "activation_function": "gelu_pytorch_tanh", "multi_query": True},
    "granite": {"model_type": "granite", "architectures": ["GraniteForCausalLM"],
                **GRANITE},
    "olmo2": {"model_type": "olmo2", "architectures": ["Olmo2ForCausalLM"]},
    "seed_oss": {"model_type": "seed_oss", "architectures": ["SeedOssForCausalLM"],
                 "attention_bias": True, "attention_out_bias": False},
    "ernie4_5": {"model_type": "ernie4_5", "architectures": ["Ernie4_5ForCausalLM"],
                 "use_bias": True},
    "olmo3": {"model_type": "olmo3", "architectures": ["Olmo3ForCausalLM"], "sliding_window": 24,
              "rope_theta": 500000.0,
              "rope_scaling": {"rope_type": "yarn", "factor": 4.0,
                               "original_max_position_embeddings": 32}},
    "exaone4": {"model_type": "exaone4", "architectures": ["Exaone4ForCausalLM"],
                "sliding_window": 24, "sliding_window_pattern": 4,
                "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                 "high_freq_factor": 4.0,
                                 "original_max_position_embeddings": 64}},
    "exaone4_small": {"model_type": "exaone4", "architectures": ["Exaone4ForCausalLM"],
                      "sliding_window": None, "sliding_window_pattern": None},
    "cohere2": {"model_type": "cohere2", "architectures": ["Cohere2ForCausalLM"],
                "layer_norm_eps": 1e-5, "logit_scale": 0.25, "rotary_pct": 1.0,
                "sliding_window": 24, "sliding_window_pattern": 4},
    "apertus": {"model_type": "apertus", "architectures": ["ApertusForCausalLM"],
                "hidden_act": "xielu",
                "rope_parameters": {"rope_type": "llama3", "rope_theta": 1e5, "factor": 8.0,
                                    "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                    "original_max_position_embeddings": 64}},
    **experts.KINDS,
}  # fmt: skip
# Where biases are: of q, k and v, of attention's output, of the network.
BIASES = {
    "llama_biases": "qkv o mlp", "starcoder2": "qkv o mlp", "ernie4_5": "qkv o mlp",
    "starcoder": "o mlp", "glm4": "qkv", "seed_oss": "qkv", "glm4_moe": "qkv", "gpt_oss": "qkv o",
}  # fmt: skip


# Norms of a layer that are as wide as the model.
NORMS = {
    "cohere2": ("input_layernorm",),
    "apertus": ("attention_layernorm", "feedforward_layernorm"),
    **dict.fromkeys(
        ("olmo2", "olmo3", "exaone4", "exaone4_small"),
        ("post_attention_layernorm", "post_feedforward_layernorm"),
    ),
    "glm4": (
        "input_layernorm",
        "post_self_attn_layernorm",
        "post_attention_layernorm",
        "post_mlp_layernorm",
    ),
    **dict.fromkeys(
        ("gemma2", "gemma3"),
        (
            "input_layernorm",
            "post_attention_layernorm",
            "pre_feedforward_layernorm",
            "post_feedforward_layernorm",
        ),
    ),
}


# Of q and k: of all of them, or of each head.
WHOLE_NORMS = ("olmo2", "olmo3")
HEAD_NORMS = ("gemma3", "glm4_moe", "apertus", "exaone4", "exaone4_small")


CONSTANTS = {"beta": 0.5, "eps": -1e-6}  # of xIELU


LAYER_NORM = {"starcoder", "starcoder2"}


def layer(tiny: Tiny, i: int) -> Iterator[Named]:
    """Attention and a network, or experts."""
    q, kv = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
    biases = BIASES.get(tiny.kind, "").split()
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    out, names = "self_attn.o_proj", ("gate_proj", "up_proj", "down_proj")
    if tiny.kind == "starcoder":
        norms, out = ("ln_1", "ln_2"), "attn.c_proj"
    for name in NORMS.get(tiny.kind, norms):
        yield from norm(tiny, name)
    if tiny.kind == "starcoder":
        yield from linear("attn.c_attn", q + 2 * kv, tiny.dim, bias=True)
    else:
        for name, rows in (("q", q), ("k", kv), ("v", kv)):
            yield from linear(f"self_attn.{name}_proj", rows, tiny.dim, "qkv" in biases)
    if tiny.kind in WHOLE_NORMS + HEAD_NORMS:
        whole = tiny.kind in WHOLE_NORMS
        yield "self_attn.q_norm.weight", (q if whole else tiny.head_dim,)
        yield "self_attn.k_norm.weight", (kv if whole else tiny.head_dim,)
    yield from linear(out, tiny.dim, q, "o" in biases)
    if tiny.kind == "gpt_oss":
        yield "self_attn.sinks", (tiny.n_heads,)
    if experts.has_experts(tiny, i):
        yield from experts.experts_of(tiny)
        return
    if tiny.kind.startswith("starcoder"):
        names = ("c_fc", "c_proj")
    if tiny.kind == "apertus":
        names = ("up_proj", "down_proj")
        for name in ("alpha_p", "alpha_n", "beta", "eps"):
            yield f"mlp.act_fn.{name}", () if name in CONSTANTS else (1,)
    if tiny.kind == "glm4":
        names = ("gate_up_proj", "down_proj")
    for name in names:
        rows, columns = tiny.hidden_dim * (1 + (name == "gate_up_proj")), tiny.dim
        if name == names[-1]:
            rows, columns = tiny.dim, tiny.hidden_dim
        yield from linear(f"mlp.{name}", rows, columns, "mlp" in biases)


def norm(tiny: Tiny, name: str) -> Iterator[Named]:
    """A norm as wide as the model."""
    for kind in ("weight", "bias") if tiny.kind in LAYER_NORM else ("weight",):
        yield f"{name}.{kind}", (tiny.dim,)


def of_shape(tiny: Tiny) -> Config:
    """What StarCoder calls by GPT's names; transformers wants the small EXAONE's layers listed."""
    if tiny.kind == "exaone4_small":
        return {"layer_types": ["full_attention"] * tiny.n_layers}
    if tiny.kind != "starcoder":
        return {}
    return {
        "n_embd": tiny.dim, "n_inner": tiny.hidden_dim, "n_layer": tiny.n_layers,
        "n_head": tiny.n_heads, "n_positions": tiny.n_ctx, "layer_norm_epsilon": tiny.norm_eps,
        "num_key_value_heads": 1,
    }  # fmt: skip
