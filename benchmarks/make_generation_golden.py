"""Write tests/data/golden_generation.json: what transformers' `generate` gives for a tiny model.

    .venvs/torch/bin/python benchmarks/make_generation_golden.py

The model is made from a seed (tiny_llama). Each case holds the arguments of a call and the ids
that came. The same in float64, or for padded rows (float64 knows no padding there) each row alone
in float64, must say the same, so that arithmetic in another order changes nothing.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from make_golden import model_of
from tiny_llama import Tiny

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden_generation.json"
TINY = Tiny("generation", 21, 64, 96, 2, 4, 2, 16, 323, 1e4, tied=False)
ONE = [[1, 300, 301, 17, 99]]
# Three prompts of several lengths, padded with 0 on the left.
ROWS = [[0, 0, 1, 280, 33], [0, 1, 290, 44, 5], [1, 310, 12, 77, 260]]
MASK = [[0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [1, 1, 1, 1, 1]]


def cases(model: Any) -> list[dict[str, Any]]:
    """The calls; end tokens are taken from what the model says without any."""
    greedy = run(model, {"inputs": ROWS, "attention_mask": MASK, "max_new_tokens": 12})
    ends = [greedy[0][5 + 3], greedy[2][5 + 7]]  # within two of the rows
    rows = {"inputs": ROWS, "attention_mask": MASK, "pad_token_id": 0}
    return [
        {"inputs": ONE, "max_new_tokens": 12},
        {"inputs": ONE, "max_length": 11},
        {"inputs": ONE},
        {"inputs": None, "max_new_tokens": 5},
        {"inputs": ONE, "max_new_tokens": 12, "repetition_penalty": 1.7},
        {"inputs": ONE, "max_new_tokens": 6, "do_sample": True, "top_k": 1,
         "num_return_sequences": 3},
        {"inputs": ROWS, "attention_mask": MASK, "max_new_tokens": 12, "pad_token_id": 0},
        {"inputs": ROWS, "max_new_tokens": 12, "pad_token_id": 0},
        {**rows, "max_new_tokens": 12, "eos_token_id": ends},
        {**rows, "max_new_tokens": 12, "eos_token_id": ends[0]},
        {"inputs": ROWS, "attention_mask": MASK, "max_new_tokens": 12, "eos_token_id": ends},
        {**rows, "max_new_tokens": 12, "eos_token_id": ends, "min_new_tokens": 6},
        {**rows, "max_length": 15, "eos_token_id": ends, "min_length": 10},
        {"inputs": ROWS, "attention_mask": MASK, "max_new_tokens": 6, "do_sample": True,
         "top_k": 1, "num_return_sequences": 2},
    ]  # fmt: skip


def run(model: Any, case: dict[str, Any]) -> list[list[int]]:
    """What a call gives."""
    given = dict(case)
    for name in ("inputs", "attention_mask"):
        if given.get(name) is not None:
            given[name] = torch.tensor(given[name])
    with torch.inference_mode():
        return model.generate(**given).tolist()


def forward(model: Any) -> list[dict[str, Any]]:
    """Calls of the model itself, with logits at MASK's tokens and every 40th id, and the loss."""
    right = [row[n:] + row[:n] for row, n in zip(ROWS, (2, 1, 0), strict=True)]
    ends = [row[n:] + row[:n] for row, n in zip(MASK, (2, 1, 0), strict=True)]
    calls: list[dict[str, Any]] = [
        {"input_ids": ONE},
        {"input_ids": ONE, "labels": ONE, "logits_to_keep": 0},
        {"input_ids": ROWS, "attention_mask": MASK},
        {"input_ids": right, "attention_mask": ends,
         "labels": [[i or -100 for i in row] for row in right]},
    ]  # fmt: skip
    answered = []
    for call in calls:
        given = {k: torch.tensor(v) if isinstance(v, list) else v for k, v in call.items()}
        with torch.inference_mode():
            out = model(**given)
        logits = out.logits[..., ::40].round(decimals=5).tolist()
        loss = None if out.loss is None else round(out.loss.item(), 6)
        answered.append({"call": call, "logits": logits, "loss": loss})
    return answered


def config_of(model: Any) -> dict[str, Any]:
    """What its configuration states, but for where it lay."""
    stated = model.config.to_dict()
    return {name: value for name, value in stated.items() if not name.startswith("_")}


def main() -> None:
    """Make the file."""
    torch.set_num_threads(1)
    model = model_of(TINY)
    model.generation_config = transformers.GenerationConfig(bos_token_id=1, eos_token_id=2)
    free = run(model, {"inputs": ROWS, "attention_mask": MASK, "max_new_tokens": 12})
    for row, n_padding in zip(free, (2, 1, 0), strict=True):
        alone = {"inputs": [row[n_padding:5]], "max_new_tokens": 12}
        if run(model.double(), alone) != [row[n_padding:]]:
            raise SystemExit(f"{row}: a near tie; take another seed")
        model.float()
    answered = []
    for case in cases(model):
        ids = run(model, case)
        if case["inputs"] != ROWS and run(model.double(), case) != ids:
            raise SystemExit(f"{case}: a near tie; take another seed")
        model.float()
        answered.append({"call": case, "ids": ids})
    data = {"transformers": transformers.__version__, "tiny": asdict(TINY), "cases": answered,
            "forward": forward(model), "config": config_of(model),
            "num_parameters": model.num_parameters(),
            "without_embeddings": model.num_parameters(exclude_embeddings=True)}  # fmt: skip
    OUT.write_text(json.dumps(data, separators=(",", ":")) + "\n")
    print(f"{OUT.name}: {OUT.stat().st_size} bytes, {len(answered)} cases")


if __name__ == "__main__":
    main()
