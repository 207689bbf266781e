"""A checkpoint as a folder: weights, config.json and a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from . import relatives
from .families import KINDS, LISTED, NETS, of_shape, tensors
from .spec import F32, Config, Tiny
from .values import value_of
from .vocabulary import save_tokenizer


def weights(tiny: Tiny) -> dict[str, F32]:
    """All tensors under the names that transformers gives them, as (out, in)."""
    bits = np.random.PCG64(tiny.seed)

    def uniform(shape: tuple[int, ...], std: float, mean: float = 0.0) -> F32:
        raw = bits.random_raw(int(np.prod(shape))) >> np.uint64(40)
        unit = raw.astype(np.float64) / 2.0**23 - 1.0
        return (mean + unit * std * 3**0.5).astype(np.float32).reshape(shape)

    if tiny.kind in LISTED:
        return {name: value_of(tiny, name, shape, uniform) for name, shape in tensors(tiny)}
    return relatives.weights(tiny, uniform)


def config(tiny: Tiny) -> Config:
    """config.json as transformers 4 writes it."""
    made: Config = {
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
        **of_shape(tiny),
    }
    if tiny.kind == "gemma4_unified":
        del made["hidden_size_per_layer_input"], made["vocab_size_per_layer_input"]
    if tiny.n_next and tiny.kind not in NETS:
        made["num_nextn_predict_layers"] = tiny.n_next
    if "layer_types" in made and "rope_parameters" in made:  # of which the other would be one
        del made["rope_scaling"]
    return made


def save(tiny: Tiny, folder: Path) -> None:
    """Write the checkpoint as a Hugging Face folder with an invented vocabulary."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(tiny)))
    save_file(weights(tiny), folder / "model.safetensors", metadata={"format": "pt"})
    save_tokenizer(tiny.vocab_size, folder)
