"""Tiny Llama checkpoints made from a seed, the same bytes on every machine.

Golden data then holds only what a reference says about such a model; the weights are made again
where they are needed. Their sizes are chosen so that attention attends, gates open and close and
norms differ: a mistake in any of them changes the logits. Only raw bits of PCG64 are used, since
NumPy promises their stability but not that of its normal distribution.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
N_BYTE_PIECES = 256
Named = tuple[str, tuple[int, ...]]
# Families that are built otherwise: what their config.json says otherwise.
FAMILIES: dict[str, dict[str, object]] = {
    "llama_biases": {"attention_bias": True, "mlp_bias": True},
    "starcoder2": {"model_type": "starcoder2", "architectures": ["Starcoder2ForCausalLM"],
                   "hidden_act": "gelu_pytorch_tanh", "norm_epsilon": 1e-5, "use_bias": True,
                   "sliding_window": 24},
    "gemma": {"model_type": "gemma", "architectures": ["GemmaForCausalLM"],
              "hidden_act": "gelu_pytorch_tanh"},
    "granite": {"model_type": "granite", "architectures": ["GraniteForCausalLM"],
                "embedding_multiplier": 3.0, "residual_multiplier": 0.5, "logits_scaling": 4.0,
                "attention_multiplier": 0.15},
    "olmo2": {"model_type": "olmo2", "architectures": ["Olmo2ForCausalLM"]},
    "seed_oss": {"model_type": "seed_oss", "architectures": ["SeedOssForCausalLM"],
                 "attention_bias": True, "attention_out_bias": False},
    "ernie4_5": {"model_type": "ernie4_5", "architectures": ["Ernie4_5ForCausalLM"],
                 "use_bias": True},
}  # fmt: skip
# Where biases are: of q, k and v, of attention's output, of the network.
BIASES = {
    "llama_biases": "qkv o mlp", "starcoder2": "qkv o mlp", "seed_oss": "qkv",
    "ernie4_5": "qkv o mlp",
}  # fmt: skip
# Norms of a layer that are as wide as the model.
NORMS = {
    "olmo2": ("post_attention_layernorm", "post_feedforward_layernorm"),
}
SCALED = {"gemma": 8, "granite": 4}  # which multiply embeddings: these are so much smaller
LAYER_NORM = {"starcoder2"}
CENTERED_NORMS = {"gemma"}  # which store what a norm's weight exceeds 1 by
# Relatives: what their config.json says otherwise.
KINDS: dict[str, dict[str, object]] = {
    "qwen2": {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"],
              "use_sliding_window": False, "sliding_window": 24},
    "qwen3": {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"],
              "use_sliding_window": False},
    "mistral": {"model_type": "mistral", "architectures": ["MistralForCausalLM"],
                "sliding_window": 24},
    "linear": {"rope_scaling": {"type": "linear", "factor": 4.0}},
    "llama3": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                "high_freq_factor": 4.0,
                                "original_max_position_embeddings": 64}},
    **FAMILIES,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tiny:
    """Shape and seed of a checkpoint."""

    name: str
    seed: int
    dim: int
    hidden_dim: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab_size: int
    rope_theta: float
    tied: bool
    n_ctx: int = 512
    norm_eps: float = 1e-5
    kind: str = "llama"  # or a key of KINDS


def weights(tiny: Tiny) -> dict[str, F32]:
    """All tensors under the names that transformers gives them, as (out, in)."""
    bits = np.random.PCG64(tiny.seed)

    def uniform(shape: tuple[int, ...], std: float, mean: float = 0.0) -> F32:
        raw = bits.random_raw(int(np.prod(shape))) >> np.uint64(40)
        unit = raw.astype(np.float64) / 2.0**23 - 1.0
        return (mean + unit * std * 3**0.5).astype(np.float32).reshape(shape)

    def linear(rows: int, cols: int, gain: float) -> F32:
        return uniform((rows, cols), gain / cols**0.5)

    if tiny.kind in FAMILIES:
        mean = float(tiny.kind not in CENTERED_NORMS)
        return {
            name: uniform(shape, 0.2, mean * name.endswith("weight"))
            if len(shape) == 1
            else uniform(shape, 0.5 / SCALED.get(tiny.kind, 1))
            if "embed" in name
            else linear(*shape, 3.0 if name == "lm_head.weight" else 1.3)
            for name, shape in tensors(tiny)
        }
    q_dim, kv_dim = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
    dim, hidden = tiny.dim, tiny.hidden_dim
    out = {"model.embed_tokens.weight": uniform((tiny.vocab_size, dim), 0.5)}
    for i in range(tiny.n_layers):
        layer = f"model.layers.{i}."
        out[layer + "input_layernorm.weight"] = uniform((dim,), 0.2, 1.0)
        out[layer + "self_attn.q_proj.weight"] = linear(q_dim, dim, 1.4)
        out[layer + "self_attn.k_proj.weight"] = linear(kv_dim, dim, 1.4)
        out[layer + "self_attn.v_proj.weight"] = linear(kv_dim, dim, 1.0)
        if tiny.kind == "qwen2":
            for name, n in (("q", q_dim), ("k", kv_dim), ("v", kv_dim)):
                out[f"{layer}self_attn.{name}_proj.bias"] = uniform((n,), 0.7)
        if tiny.kind == "qwen3":
            for name in "qk":
                out[f"{layer}self_attn.{name}_norm.weight"] = uniform((tiny.head_dim,), 0.3, 1.0)
        out[layer + "self_attn.o_proj.weight"] = linear(dim, q_dim, 1.0)
        out[layer + "post_attention_layernorm.weight"] = uniform((dim,), 0.2, 1.0)
        out[layer + "mlp.gate_proj.weight"] = linear(hidden, dim, 1.5)
        out[layer + "mlp.up_proj.weight"] = linear(hidden, dim, 1.0)
        out[layer + "mlp.down_proj.weight"] = linear(dim, hidden, 1.0)
    out["model.norm.weight"] = uniform((dim,), 0.2, 1.0)
    if not tiny.tied:
        out["lm_head.weight"] = linear(tiny.vocab_size, dim, 3.0)
    return out


def tensors(tiny: Tiny) -> Iterator[Named]:
    """Names and shapes, (out, in), in an order of their own."""
    yield "model.embed_tokens.weight", (tiny.vocab_size, tiny.dim)
    for i in range(tiny.n_layers):
        for name, shape in _layer(tiny):
            yield f"model.layers.{i}.{name}", shape
    yield from _norm(tiny, "model.norm")
    if not tiny.tied:
        yield "lm_head.weight", (tiny.vocab_size, tiny.dim)


def _layer(tiny: Tiny) -> Iterator[Named]:
    q, kv = tiny.n_heads * tiny.head_dim, tiny.n_kv_heads * tiny.head_dim
    biases = BIASES.get(tiny.kind, "").split()
    for name in NORMS.get(tiny.kind, ("input_layernorm", "post_attention_layernorm")):
        yield from _norm(tiny, name)
    for name, rows in (("q", q), ("k", kv), ("v", kv)):
        yield from _linear(f"self_attn.{name}_proj", rows, tiny.dim, "qkv" in biases)
    if tiny.kind == "olmo2":
        yield "self_attn.q_norm.weight", (q,)
        yield "self_attn.k_norm.weight", (kv,)
    yield from _linear("self_attn.o_proj", tiny.dim, q, "o" in biases)
    names = ("gate_proj", "up_proj", "down_proj")
    if tiny.kind == "starcoder2":
        names = ("c_fc", "c_proj")
    for name in names:
        shape = (tiny.hidden_dim, tiny.dim)
        rows, columns = shape[::-1] if name == names[-1] else shape
        yield from _linear(f"mlp.{name}", rows, columns, "mlp" in biases)


def _norm(tiny: Tiny, name: str) -> Iterator[Named]:
    for kind in ("weight", "bias") if tiny.kind in LAYER_NORM else ("weight",):
        yield f"{name}.{kind}", (tiny.dim,)


def _linear(name: str, rows: int, columns: int, bias: bool) -> Iterator[Named]:
    yield f"{name}.weight", (rows, columns)
    if bias:
        yield f"{name}.bias", (rows,)


def config(tiny: Tiny) -> dict[str, object]:
    """config.json as transformers 4 writes it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "vocab_size": tiny.vocab_size,
        "hidden_size": tiny.dim,
        "intermediate_size": tiny.hidden_dim,
        "num_hidden_layers": tiny.n_layers,
        "num_attention_heads": tiny.n_heads,
        "num_key_value_heads": tiny.n_kv_heads,
        "head_dim": tiny.head_dim,
        "max_position_embeddings": tiny.n_ctx,
        "rms_norm_eps": tiny.norm_eps,
        "rope_theta": tiny.rope_theta,
        "rope_scaling": None,
        "tie_word_embeddings": tiny.tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
        **KINDS.get(tiny.kind, {}),
    }


def save(tiny: Tiny, folder: Path) -> None:
    """Write the checkpoint as a Hugging Face folder with an invented vocabulary."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(tiny)))
    save_file(weights(tiny), folder / "model.safetensors", metadata={"format": "pt"})
    save_tokenizer(tiny.vocab_size, folder)


def words(n: int) -> list[str]:
    """The first n invented words, which follow the bytes; U+2581 is a space."""
    letters = "\u2581abcdefghijklmnopqrstuvwxyz"
    every = [*letters, *(a + b for a in letters for b in letters[1:])]
    if not 0 <= n <= len(every):
        raise ValueError(f"a vocabulary of {259 + n}: expected 259 to {259 + len(every)}")
    return every[:n]


def save_tokenizer(vocab_size: int, folder: Path) -> None:
    """Write tokenizer.model: control pieces, the 256 bytes, then invented words."""
    from sentencepiece import sentencepiece_model_pb2 as spm

    model = spm.ModelProto()
    model.trainer_spec.model_type = spm.TrainerSpec.BPE
    model.normalizer_spec.name = "identity"  # as Llama's
    model.normalizer_spec.remove_extra_whitespaces = False
    model.trainer_spec.byte_fallback = True
    model.trainer_spec.vocab_size = vocab_size
    kind = spm.ModelProto.SentencePiece
    pieces = [("<unk>", kind.UNKNOWN), ("<s>", kind.CONTROL), ("</s>", kind.CONTROL)]
    pieces += [(f"<0x{i:02X}>", kind.BYTE) for i in range(N_BYTE_PIECES)]
    pieces += [(word, kind.NORMAL) for word in words(vocab_size - len(pieces))]
    for rank, (piece, piece_kind) in enumerate(pieces):
        score = -float(rank) if piece_kind == kind.NORMAL else 0.0
        model.pieces.add(piece=piece, score=score, type=piece_kind)
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
