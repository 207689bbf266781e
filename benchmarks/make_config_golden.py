"""Write tests/data/golden_config_defaults.json: what transformers takes for keys that are absent.

.venvs/torch/bin/python benchmarks/make_config_golden.py
"""

from __future__ import annotations

import json
from pathlib import Path

import transformers

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden_config_defaults.json"
TYPES = (
    "llama", "mistral", "qwen2", "qwen3", "qwen3_moe", "mixtral", "qwen2_moe", "phi3", "smollm3",
    "ministral3", "starcoder2", "gemma",
    "granite", "olmo2", "seed_oss", "ernie4_5", "gemma2", "gemma3_text", "glm4", "gpt_bigcode",
    "gemma4_text", "gemma4_unified_text",
    "mellum", "laguna", "gpt_oss",
    "olmo3", "granitemoe", "granitemoeshared", "ernie4_5_moe", "glm4_moe", "apertus", "exaone4",
    "cohere2",
    "deepseek_v2", "deepseek_v3", "glm4_moe_lite", "youtu", "lfm2", "lfm2_moe",
    "granitemoehybrid", "nemotron_h",
    "qwen3_next", "qwen3_5_text", "qwen3_5_moe_text",
)  # fmt: skip
# Where the class's own defaults make no model.
STATED = {"glm4_moe": {"head_dim": 128}}
# What some call otherwise.
_OTHERS = {
    "rms_norm_eps": ("norm_epsilon", "layer_norm_epsilon", "norm_eps", "layer_norm_eps"),
    "intermediate_size": ("n_inner",),
}  # fmt: skip
KEYS = (
    "hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads",
    "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "vocab_size",
    "tie_word_embeddings", "sliding_window",
)  # fmt: skip


def main() -> None:
    """Ask every configuration class."""
    found = {}
    for name in TYPES:
        config = transformers.AutoConfig.for_model(name, **STATED.get(name, {}))
        if name.startswith("gemma4"):  # whose layers differ: the last one has no window
            config = config.per_layer_config[-1]
        found[name] = {}
        for key in KEYS:
            has = [n for n in (key, *_OTHERS.get(key, ())) if hasattr(config, n)]
            found[name][key] = getattr(config, has[0]) if has else None
        if name == "gpt_bigcode":  # its code makes these of null and of multi_query
            found[name] |= {"intermediate_size": 4 * config.n_embd, "num_key_value_heads": 1}
        found[name]["sliding_window"] = found[name]["sliding_window"] or None  # 0 says none
        # Qwen2 has no attribute of that name: its heads divide the width.
        heads = config.hidden_size // config.num_attention_heads
        found[name]["head_dim"] = getattr(config, "head_dim", None) or heads
        rope = getattr(config, "rope_parameters", None) or {}
        rope = rope.get("full_attention", rope)
        found[name]["rope_theta"] = rope.get("rope_theta")
    OUT.write_text(json.dumps({"transformers": transformers.__version__, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
