"""What transformers makes of configurations: the shape of the model, RoPE's frequencies, windows.

.venvs/torch/bin/python benchmarks/config_peer.py FILE

FILE is a JSON list of objects with a "config"; each gets its "answer" anew. null: transformers
makes no model of it.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers


def answer(stated: dict[str, Any]) -> dict[str, Any] | None:
    """The configuration's own numbers, and what a model with tiny matrices computes with."""
    stated = copy.deepcopy(stated)
    try:
        config = transformers.AutoConfig.for_model(stated.pop("model_type"), **stated)
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config)
        # From the configuration, outside of the device without numbers.
        rotary = type(model.model.rotary_emb)(config)
    except Exception as error:  # whatever its classes raise
        print(f"{stated}: {type(error).__name__}: {error}", file=sys.stderr)
        return None
    attention = model.model.layers[0].self_attn
    return {
        "frequencies": [float(x) for x in rotary.inv_freq],
        "attention_factor": rotary.attention_scaling,
        "scale": attention.scaling,
        "q": list(attention.q_proj.weight.shape),
        "k": list(attention.k_proj.weight.shape),
        "gate": list(model.model.layers[0].mlp.gate_proj.weight.shape),
        "n_layers": len(model.model.layers),
        "norm_eps": model.model.norm.variance_epsilon,
        "has_window": config.model_type == "mistral" and config.sliding_window is not None,
        "tied": config.tie_word_embeddings,
    }


def main() -> None:
    """Answer every case."""
    path = Path(sys.argv[1])
    transformers.logging.set_verbosity_error()
    cases = json.loads(path.read_text("utf-8"))
    for case in cases:
        case["answer"] = answer(case["config"])
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
