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
    "ministral3",
)  # fmt: skip
KEYS = (
    "hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads",
    "num_key_value_heads", "rms_norm_eps", "max_position_embeddings", "vocab_size",
    "tie_word_embeddings", "sliding_window",
)  # fmt: skip


def main() -> None:
    """Ask every configuration class."""
    found = {}
    for name in TYPES:
        config = transformers.AutoConfig.for_model(name)
        found[name] = {key: getattr(config, key, None) for key in KEYS}
        found[name]["sliding_window"] = found[name]["sliding_window"] or None  # 0 says none
        # Qwen2 has no attribute of that name: its heads divide the width.
        heads = config.hidden_size // config.num_attention_heads
        found[name]["head_dim"] = getattr(config, "head_dim", None) or heads
        found[name]["rope_theta"] = config.rope_parameters["rope_theta"]
    OUT.write_text(json.dumps({"transformers": transformers.__version__, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
