"""Write tests/data/golden_adapters.npz: what peft says about tiny adapters.

    .venvs/torch/bin/python benchmarks/make_adapter_golden.py      (with peft beside transformers)

Checkpoints and adapters are made from seeds (tiny_llama, tiny_adapter.py), so only answers are
stored, for each case: NAME.spec (the Tiny and the TinyAdapter, as JSON), NAME.ids, NAME.logits
(float32, after the last ids), and NAME.plain, the same without the adapter.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from make_golden import CASES as MODELS
from make_golden import model_of
from peft import PeftModel
from tiny_adapter import ATTENTION, TinyAdapter, save
from tiny_llama import Tiny, weights

OUT = Path(__file__).resolve().parent.parent / "tests" / "data" / "golden_adapters.npz"
N_IDS, N_LAST = 40, 2
_MODELS = {tiny.name: tiny for tiny in MODELS}
_PATTERNS: dict[str, object] = {
    "alpha_pattern": {
        "q_proj": 24,
        r"model\.layers\.1\.mlp\.up_proj": 3,
        "layers.1.self_attn.v_proj": 7,
    },
}

CASES: dict[str, tuple[Tiny, TinyAdapter]] = {
    "llama": (_MODELS["gqa64"], TinyAdapter(1, 4, 8, has_head=True)),
    "patterns": (
        _MODELS["mha16"],
        TinyAdapter(2, 5, 8, stated=_PATTERNS, ranks={"model.layers.0.mlp.down_proj": 9}),
    ),
    "rslora": (
        _MODELS["gqa32_tied"],
        TinyAdapter(3, 16, 4, ATTENTION, stated={"use_rslora": True}, dtype="float16"),
    ),
    "qwen2": (_MODELS["qwen2"], TinyAdapter(4, 8, 16)),
    "qwen3": (_MODELS["qwen3"], TinyAdapter(5, 3, 6)),
}


def main() -> None:
    """Ask peft."""
    out: dict[str, np.ndarray] = {}
    for name, (tiny, adapter) in CASES.items():
        model = model_of(tiny)
        ids = np.random.default_rng(tiny.seed).integers(3, tiny.vocab_size, N_IDS)
        batch = torch.from_numpy(ids)[None]
        with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
            plain = model(batch).logits[0, -N_LAST:].numpy()
            save(adapter, weights(tiny), Path(folder))
            adapted = PeftModel.from_pretrained(model, folder).eval()
            logits = adapted(batch).logits[0, -N_LAST:].numpy()
        out |= {
            f"{name}.spec": np.array(json.dumps([asdict(tiny), asdict(adapter)])),
            f"{name}.ids": ids.astype(np.int32), f"{name}.logits": logits, f"{name}.plain": plain,
        }  # fmt: skip
        print(name, float(np.abs(logits - plain).max()), float(np.abs(logits).max()))
    np.savez_compressed(OUT, **out)


if __name__ == "__main__":
    main()
