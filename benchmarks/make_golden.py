"""Write tests/data/golden_llama.npz: what transformers says about tiny checkpoints.

    .venvs/torch/bin/python benchmarks/make_golden.py

The checkpoints are made from seeds (tiny_llama.py), so only answers are stored, for each case:
NAME.spec (the Tiny, as JSON), NAME.ids, NAME.positions, NAME.logits (float32, after the ids at
those positions), NAME.greedy (ids generated after all of them). Greedy ids are stored only of
cases whose best token leads clearly at each step, so that float32 arithmetic in another order
cannot choose another one.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tiny_llama import Tiny, config, weights
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers_peer import expected

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden_llama.npz"
N_IDS = 100
N_GREEDY = 12
POSITIONS = np.array([0, 1, 15, 31, 32, 63, 64, 99])
CLEAR_LEAD = 1e-2  # of the largest logit; the f16 cache may change it by 4e-3

CASES = (
    Tiny("mha16", 14, 64, 96, 2, 4, 4, 16, 323, 1e4, tied=False),
    Tiny("gqa32_tied", 2, 128, 352, 3, 4, 2, 32, 320, 1e6, tied=True),
    Tiny("gqa64", 1, 256, 320, 2, 4, 1, 64, 331, 1e6, tied=False),
    Tiny("head128_wide", 36, 96, 160, 2, 2, 1, 128, 323, 1e4, tied=True),
    Tiny("qwen2", 1, 128, 160, 2, 4, 2, 32, 323, 1e6, tied=True, kind="qwen2"),
    Tiny("qwen3", 1, 128, 160, 2, 4, 2, 48, 323, 1e6, tied=True, kind="qwen3"),
    Tiny("mistral", 3, 64, 96, 2, 4, 2, 16, 323, 1e4, tied=False, kind="mistral"),
    Tiny("linear", 6, 64, 96, 2, 4, 4, 16, 323, 1e5, tied=False, kind="linear"),
    Tiny("llama_biases", 8, 64, 96, 2, 4, 2, 16, 323, 1e4, tied=False, kind="llama_biases"),
    Tiny("starcoder2", 29, 64, 160, 2, 4, 2, 16, 323, 1e4, tied=True, kind="starcoder2"),
    Tiny("gemma", 10, 64, 160, 2, 4, 1, 32, 323, 1e4, tied=True, kind="gemma"),
    Tiny("granite", 28, 64, 96, 2, 4, 2, 16, 323, 1e4, tied=True, kind="granite"),
    Tiny("olmo2", 15, 64, 96, 2, 4, 2, 16, 323, 1e4, tied=False, kind="olmo2"),
    Tiny("seed_oss", 15, 64, 96, 2, 4, 2, 32, 323, 1e4, tied=False, kind="seed_oss"),
    Tiny("ernie4_5", 18, 64, 96, 2, 4, 2, 16, 323, 1e4, tied=True, kind="ernie4_5"),
    Tiny("gemma2", 14, 64, 160, 2, 4, 2, 32, 323, 1e4, tied=True, kind="gemma2"),
    Tiny("gemma3", 12, 64, 160, 3, 4, 2, 32, 323, 1e6, tied=True, kind="gemma3"),
    Tiny("glm4", 22, 64, 96, 2, 4, 2, 32, 323, 1e4, tied=False, kind="glm4"),
    Tiny("starcoder", 16, 64, 160, 2, 4, 1, 16, 323, 1e4, tied=True, kind="starcoder"),
    Tiny("llama3", 7, 64, 96, 2, 4, 2, 32, 323, 5e5, tied=True, kind="llama3"),
    Tiny("yarn", 5, 128, 160, 2, 4, 2, 32, 323, 1e6, tied=True, kind="yarn"),
    Tiny("phi3", 1, 128, 160, 2, 4, 2, 32, 323, 1e4, tied=False, kind="phi3"),
    Tiny("smollm3", 2, 96, 128, 4, 4, 2, 24, 323, 2e6, tied=True, kind="smollm3"),
    Tiny("ministral3", 4, 128, 160, 2, 4, 2, 32, 323, 1e6, tied=False, kind="ministral3"),
)


def model_of(tiny: Tiny) -> PreTrainedModel:
    """The checkpoint in transformers; every tensor is checked to be used."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config(tiny)))
        read = AutoConfig.from_pretrained(folder, attn_implementation="eager")
    model = AutoModelForCausalLM.from_config(read).float().eval()
    state = {name: torch.from_numpy(value) for name, value in weights(tiny).items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or set(missing) - ({"lm_head.weight"} if tiny.tied else set()):
        raise SystemExit(f"{tiny.name}: missing {missing}, unexpected {unexpected}")
    model.tie_weights()
    return model


def lead(model: PreTrainedModel, ids: np.ndarray, n: int) -> float:
    """The smallest lead of the best token over the last n positions, in parts of the largest."""
    with torch.inference_mode():
        logits = model(torch.tensor(ids[None])).logits[0, -n - 1 : -1].numpy()
    best = np.sort(logits, -1)[:, -2:]
    return float(np.diff(best, axis=-1).min() / np.abs(logits).max())


def main() -> None:
    """Make the file."""
    torch.set_num_threads(1)
    data: dict[str, np.ndarray] = {}
    for tiny in CASES:
        model = model_of(tiny)
        answers = expected(model, N_IDS, N_GREEDY)
        whole = np.concatenate([answers["ids"], answers["greedy"]])
        smallest = lead(model, whole, N_GREEDY)
        print(f"{tiny.name}: smallest lead {smallest:.4f}, greedy {answers['greedy'].tolist()}")
        if smallest < CLEAR_LEAD or 2 in answers["greedy"]:
            raise SystemExit(f"{tiny.name}: take another seed")
        data[f"{tiny.name}.spec"] = np.array(json.dumps(asdict(tiny)))
        data[f"{tiny.name}.ids"] = answers["ids"].astype(np.int32)
        data[f"{tiny.name}.positions"] = POSITIONS
        data[f"{tiny.name}.logits"] = answers["logits"][POSITIONS]
        data[f"{tiny.name}.greedy"] = answers["greedy"].astype(np.int32)
    OUT.parent.mkdir(exist_ok=True)
    np.savez_compressed(OUT, **data)
    print(f"{OUT.name}: {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
