"""Small adapters for the checkpoints of tiny_llama, made from a seed, the same everywhere.

They are written as peft's save_pretrained does. Golden data holds what peft says about them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
NETWORK = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


@dataclass(frozen=True, slots=True)
class TinyAdapter:
    """What an adapter changes; `stated` are more keys of adapter_config.json."""

    seed: int
    r: int
    alpha: float
    modules: tuple[str, ...] = ATTENTION + NETWORK
    has_head: bool = False
    ranks: dict[str, int] = field(default_factory=dict)  # by the module's whole name
    stated: dict[str, object] = field(default_factory=dict)
    dtype: str = "float32"


def tensors(adapter: TinyAdapter, weights: dict[str, F32]) -> dict[str, F32]:
    """lora_A and lora_B of each module of a checkpoint's that the adapter changes."""
    bits = np.random.PCG64(adapter.seed)

    def uniform(shape: tuple[int, int], std: float) -> F32:
        raw = bits.random_raw(int(np.prod(shape))) >> np.uint64(40)
        unit = raw.astype(np.float64) / 2.0**23 - 1.0
        return (unit * std * 3**0.5).astype(np.float32).reshape(shape)

    out: dict[str, F32] = {}
    for name, weight in weights.items():
        module = name.removesuffix(".weight")
        if not (module.endswith(adapter.modules) or (adapter.has_head and module == "lm_head")):
            continue
        rank, (n_rows, n_inputs) = adapter.ranks.get(module, adapter.r), weight.shape
        at = f"base_model.model.{module}"
        out[f"{at}.lora_A.weight"] = uniform((rank, n_inputs), n_inputs**-0.5)
        out[f"{at}.lora_B.weight"] = uniform((n_rows, rank), 0.06 * rank**-0.5)
    return out


def config(adapter: TinyAdapter) -> dict[str, object]:
    """adapter_config.json."""
    modules = [name.rpartition(".")[2] for name in adapter.modules]
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "tiny/base",
        "r": adapter.r,
        "lora_alpha": adapter.alpha,
        "lora_dropout": 0.05,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
        "target_modules": [*modules, *(["lm_head"] if adapter.has_head else [])],
        "rank_pattern": dict(adapter.ranks),
        "alpha_pattern": {},
        **adapter.stated,
    }


def save(adapter: TinyAdapter, weights: dict[str, F32], folder: Path) -> Path:
    """Write the adapter of a checkpoint as a folder."""
    from safetensors.numpy import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config(adapter)))
    made = {name: x.astype(adapter.dtype) for name, x in tensors(adapter, weights).items()}
    save_file(made, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder
