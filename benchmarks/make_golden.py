"""Write tests/data/golden_llama.npz and the like: what transformers says of tiny checkpoints.

    .venvs/torch/bin/python benchmarks/make_golden.py

The checkpoints are made from seeds (tiny_llama), so only answers are stored, for each case:
NAME.spec (the Tiny, as JSON), NAME.ids, NAME.positions, NAME.logits (float32, after the ids at
those positions), NAME.greedy (ids generated after all of them). Greedy ids are stored only of
cases whose best token leads clearly at each step, so that float32 arithmetic in another order
cannot choose another one.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from tiny_llama import Tiny, config, weights
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers_peer import expected

OUT = Path(__file__).resolve().parent.parent / "tests" / "data"
N_IDS = 100
N_GREEDY = 12
POSITIONS = np.array([0, 1, 15, 31, 32, 63, 64, 99])
CLEAR_LEAD = 1e-2  # of the largest logit; the f16 cache may change it by 4e-3

CASES: dict[str, tuple[Tiny, ...]] = {
    "golden_llama": (
        Tiny("mha16", 14, 64, 96, 2, 4, 4, 16, 323, 1e4, tied=False),
        Tiny("gqa32_tied", 2, 128, 352, 3, 4, 2, 32, 320, 1e6, tied=True),
        Tiny("gqa64", 1, 256, 320, 2, 4, 1, 64, 331, 1e6, tied=False),
        Tiny("head128_wide", 36, 96, 160, 2, 2, 1, 128, 323, 1e4, tied=True),
        Tiny("qwen2", 1, 128, 160, 2, 4, 2, 32, 323, 1e6, tied=True, kind="qwen2"),
        Tiny("qwen3", 1, 128, 160, 2, 4, 2, 48, 323, 1e6, tied=True, kind="qwen3"),
        Tiny("mistral", 3, 64, 96, 2, 4, 2, 16, 323, 1e4, tied=False, kind="mistral"),
        Tiny("linear", 6, 64, 96, 2, 4, 4, 16, 323, 1e5, tied=False, kind="linear"),
        Tiny("llama3", 7, 64, 96, 2, 4, 2, 32, 323, 5e5, tied=True, kind="llama3"),
    ),
    "golden_positions": (
        Tiny("yarn", 5, 128, 160, 2, 4, 2, 32, 323, 1e6, tied=True, kind="yarn"),
        Tiny("phi3", 1, 128, 160, 2, 4, 2, 32, 323, 1e4, tied=False, kind="phi3"),
        Tiny("smollm3", 2, 96, 128, 4, 4, 2, 24, 323, 2e6, tied=True, kind="smollm3"),
        Tiny("ministral3", 4, 128, 160, 2, 4, 2, 32, 323, 1e6, tied=False, kind="ministral3"),
    ),
    "golden_dense": (
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
    ),
    "golden_latents": (
        Tiny("deepseek_v2", 18, 128, 160, 2, 4, 4, 16, 323, 1e4, tied=False, kind="deepseek_v2"),
        Tiny("deepseek_v3", 21, 128, 160, 2, 4, 4, 16, 323, 1e4, tied=False, kind="deepseek_v3"),
        Tiny("glm_lite", 28, 128, 160, 2, 4, 4, 16, 323, 1e6, tied=False, kind="glm4_moe_lite"),
        Tiny("youtu", 8, 128, 160, 2, 4, 4, 16, 323, 1e6, tied=True, kind="youtu"),
    ),
    "golden_sizes": (
        Tiny("gemma4", 5, 64, 160, 4, 4, 4, 16, 323, 1e4, tied=True, kind="gemma4"),
        Tiny(
            "gemma4_unified", 10, 64, 96, 3, 4, 2, 16, 323, 1e4, tied=False, kind="gemma4_unified"
        ),
        Tiny("gemma4_e", 6, 64, 96, 6, 4, 2, 16, 323, 1e4, tied=True, kind="gemma4_e"),
        Tiny("gemma4_moe", 9, 64, 96, 2, 4, 4, 16, 323, 1e4, tied=True, kind="gemma4_moe"),
    ),
    "golden_recurrent": (
        Tiny("lfm2", 2, 64, 96, 3, 4, 2, 16, 323, 1e6, tied=True, kind="lfm2"),
        Tiny("lfm2_biases", 1, 96, 160, 4, 4, 2, 32, 323, 1e6, tied=False, kind="lfm2_biases"),
        Tiny("lfm2_moe", 3, 64, 96, 4, 4, 2, 16, 323, 1e6, tied=True, kind="lfm2_moe"),
    ),
    "golden_experts": (
        Tiny("qwen3_moe", 1, 128, 160, 2, 4, 2, 48, 323, 1e6, tied=False, kind="qwen3_moe"),
        Tiny("mixtral", 4, 96, 128, 2, 4, 2, 24, 323, 1e6, tied=False, kind="mixtral"),
        Tiny("qwen2_moe", 2, 128, 160, 2, 4, 2, 32, 323, 1e6, tied=False, kind="qwen2_moe"),
        Tiny("mellum", 2, 64, 96, 2, 4, 2, 32, 323, 5e5, tied=False, kind="mellum"),
        Tiny("laguna", 5, 64, 96, 2, 4, 2, 16, 323, 5e5, tied=False, kind="laguna"),
        Tiny("gpt_oss", 1, 128, 96, 2, 4, 2, 32, 323, 1.5e5, tied=False, kind="gpt_oss"),
    ),
    "golden_mamba": (
        Tiny("granitehybrid", 2, 64, 96, 3, 4, 2, 16, 323, 1e4, tied=True, kind="granitehybrid"),
        Tiny("granitehybrid_moe", 7, 64, 32, 2, 4, 2, 16, 323, 1e4, True, kind="granitehybrid_moe"),
        Tiny("nemotron_h", 9, 64, 160, 4, 4, 2, 32, 323, 1e4, tied=False, kind="nemotron_h"),
        Tiny("nemotron_h_moe", 7, 64, 96, 6, 4, 2, 16, 323, 1e4, False, kind="nemotron_h_moe"),
    ),
    "golden_nets": (
        Tiny("qwen3_next", 3, 64, 96, 2, 4, 2, 32, 323, 1e6, tied=False, kind="qwen3_next"),
        Tiny("qwen3_5", 3, 64, 96, 3, 4, 2, 32, 323, 1e6, tied=False, kind="qwen3_5_text"),
        Tiny("qwen3_5_moe", 5, 64, 96, 3, 4, 2, 32, 323, 1e6, tied=False, kind="qwen3_5_moe_text"),
    ),
    "golden_families": (
        Tiny("olmo3", 4, 64, 96, 4, 4, 2, 16, 323, 5e5, tied=False, kind="olmo3"),
        Tiny("exaone4", 2, 64, 96, 4, 4, 2, 16, 323, 1e6, tied=False, kind="exaone4"),
        Tiny("exaone4_small", 3, 64, 96, 2, 4, 2, 16, 323, 1e6, tied=True, kind="exaone4_small"),
        Tiny("cohere2", 2, 64, 96, 4, 4, 2, 16, 323, 1e4, tied=True, kind="cohere2"),
        Tiny("granitemoe", 1, 64, 32, 2, 4, 2, 16, 323, 1e4, tied=True, kind="granitemoe"),
        Tiny("granitemoeshared", 2, 64, 32, 2, 4, 2, 16, 323, 1e4, True, kind="granitemoeshared"),
        Tiny("ernie4_5_moe", 1, 64, 96, 2, 4, 2, 16, 323, 5e5, tied=True, kind="ernie4_5_moe"),
        Tiny("glm4_moe", 7, 64, 96, 2, 4, 2, 32, 323, 1e6, tied=False, kind="glm4_moe"),
        Tiny("apertus", 3, 64, 160, 2, 4, 2, 16, 323, 1e4, tied=False, kind="apertus"),
    ),
}


def model_of(tiny: Tiny, attention: str = "eager") -> PreTrainedModel:
    """The checkpoint in transformers; every tensor is checked to be used."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(json.dumps(config(tiny)))
        save_file(weights(tiny), Path(folder) / "model.safetensors", metadata={"format": "pt"})
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation=attention, output_loading_info=True
        )
    missing = set(info["missing_keys"]) - ({"lm_head.weight"} if tiny.tied else set())
    if missing or info["unexpected_keys"] or info["mismatched_keys"]:
        raise SystemExit(f"{tiny.name}: {info}")
    return model.eval()


def lead(model: PreTrainedModel, ids: np.ndarray, n: int) -> float:
    """The smallest lead of the best token over the last n positions, in parts of the largest."""
    with torch.inference_mode():
        logits = model(torch.tensor(ids[None])).logits[0, -n - 1 : -1].numpy()
    best = np.sort(logits, -1)[:, -2:]
    return float(np.diff(best, axis=-1).min() / np.abs(logits).max())


def main() -> None:
    """Make the files, or those that are named."""
    torch.set_num_threads(1)
    for name in sys.argv[1:] or CASES:
        write(OUT / f"{name}.npz", CASES[name])


def write(out: Path, cases: tuple[Tiny, ...]) -> None:
    """Make one file."""
    data: dict[str, np.ndarray] = {}
    for tiny in cases:
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
    np.savez_compressed(out, **data)
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
