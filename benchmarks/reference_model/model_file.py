"""What a GGUF file says of a model: its weights as floats, and its numbers."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
# Layers of which one sees all positions, where the file has no pattern.
_SEES_ALL_EVERY = {"gemma2": 2, "gemma3": 6, "olmo2": 4, "mellum": 4, "laguna": 4, "gpt-oss": 2,
                   "exaone4": 4, "cohere2": 4}  # fmt: skip
# llama.cpp reorders Llama's q and k, so that RoPE's pairs are neighbours, and not Qwen's.
_PAIRS_ARE_NEIGHBOURS = (
    "llama", "granite", "granitemoe", "ernie4_5", "ernie4_5-moe", "smollm3", "mistral3",
    "glm4", "deepseek2", "granitehybrid", "nemotron_h", "nemotron_h_moe", "cohere2",
)  # fmt: skip


class ModelFile:
    """Tensors, dequantized when they are asked for, and hyperparameters."""

    def __init__(self, path: str | Path) -> None:
        self._path, reader = path, gguf.GGUFReader(path)
        self._fields = reader.fields
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.architecture = reader.fields["general.architecture"].contents()
        self._read_sizes()
        self._read_factors()
        self._read_experts()
        self._read_positions()
        self._read_rotation()
        names = (f"xielu.{name}" for name in ("alpha_p", "alpha_n", "beta", "eps"))
        self.xielu = [self._fields[name].contents() for name in names if name in self._fields]

    def _read_sizes(self) -> None:
        self.n_blocks = int(self.number("block_count"))  # with those that guess
        self.n_layers = self.n_blocks - int(self.number("nextn_predict_layers", 0))
        heads = np.atleast_1d(self._fields[f"{self.architecture}.attention.head_count"].contents())
        self.heads = [int(n) for n in np.broadcast_to(heads, self.n_blocks)]
        self.n_heads = max(self.heads)
        self.n_kv_heads = int(self.number("attention.head_count_kv", self.n_heads))
        self.dim = int(self.number("embedding_length"))
        self.head_dim = int(self.number("attention.key_length", self.dim // self.n_heads))
        self.rank = int(self.number("attention.kv_lora_rank", 0))
        self.qk_dim = int(self.number("attention.key_length_mla", 0))
        names = ("group_count", "time_step_rank", "state_size", "inner_size")
        self.net_sizes = [int(self.number(f"ssm.{name}", 0)) for name in names]

    def _read_factors(self) -> None:
        self.centers = f"{self.architecture}.attention.layer_norm_epsilon" in self._fields
        self.eps = self.number(f"attention.layer_norm_{'' if self.centers else 'rms_'}epsilon")
        self.centers &= not self.architecture.startswith("nemotron")
        is_gemma = self.architecture.startswith("gemma")
        self.embedding_scale = self.dim**0.5 if is_gemma else self.number("embedding_scale", 1)
        self.residual_scale = self.number("residual_scale", 1)
        self.score_scale = self.number("attention.scale", 0) or self.head_dim**-0.5
        if self.rank:
            self.score_scale = self.qk_dim**-0.5
        self.logit_scale = self.number("logit_scale", 1)
        if self.architecture == "cohere2":  # which multiplies by it
            self.logit_scale = 1 / self.logit_scale
        self.score_cap = self.number("attn_logit_softcapping", 0)
        self.logit_cap = self.number("final_logit_softcapping", 0)

    def _read_experts(self) -> None:
        self.n_used = int(self.number("expert_used_count", 0))
        self.normalizes = bool(self.number("expert_weights_norm", 1))
        self.expert_scale = self.number("expert_weights_scale", 1)
        self.is_sigmoid = self.number("expert_gating_func", 1) == 2
        self.n_groups = [int(self.number(f"expert_group{n}_count", 1)) for n in ("", "_used")]

    def _read_positions(self) -> None:
        at = f"{self.architecture}.attention.sliding_window"  # else Mistral's
        window = self._fields.get(at, self._fields.get("halfbyte.sliding_window"))
        self.window = 0 if window is None else int(window.contents())
        every = _SEES_ALL_EVERY.get(self.architecture, 0)
        first = int(self.architecture != "laguna")  # 1: the last of so many layers sees all
        self.sees_all = [every > 0 and (i + first) % every == 0 for i in range(self.n_blocks)]
        pattern = self._fields.get(f"{at}_pattern")
        if pattern is not None:
            self.sees_all = [not one for one in pattern.contents()]
        self.temperature = self.number("attention.temperature_scale", 0.0)
        context = self.number("context_length")
        self.n_ctx = int(self.number("rope.scaling.original_context_length", context))

    def _read_rotation(self) -> None:
        self.pairs_are_halves = self.architecture not in _PAIRS_ARE_NEIGHBOURS
        self.rotates = self.architecture not in ("starcoder", "nemotron_h", "nemotron_h_moe")
        self.rotates &= bool(self.number("rope.scaling.finetuned", 1))
        self.n_rotated = int(self.number("rope.dimension_count", self.head_dim))
        theta, factor = self.number("rope.freq_base", 1e4), self.number("rope.scaling.factor", 1.0)
        self.attention_factor = self.number("rope.scaling.attn_factor", 1.0)
        pairs = np.arange(self.n_rotated // 2)
        plain = theta ** (-2.0 * pairs / self.n_rotated)
        self.frequencies = plain / factor
        if "rope_freqs.weight" in self.tensors:
            self.frequencies = self.frequencies / self.weight("rope_freqs.weight")
        kind = self._fields.get(f"{self.architecture}.rope.scaling.type")
        if kind is not None and kind.contents() == "longrope":  # as if contexts were always long
            self.frequencies = plain / self.weight("rope_factors_long.weight")
        if kind is not None and kind.contents() == "yarn":
            self._read_yarn(theta, factor, plain)
        self.local_frequencies = self._local_frequencies()

    def _local_frequencies(self) -> F64 | None:
        """Those of layers with a window, where they are others."""
        theta = self.number("rope.freq_base_swa", 1e4) if self.architecture == "gemma3" else 0.0
        is_olmo3 = self.architecture == "olmo2" and self.window
        if self.architecture in ("mellum", "laguna") or is_olmo3:
            theta = self.number("rope.freq_base_swa", self.number("rope.freq_base"))
        n = int(self.number("rope.dimension_count_swa", self.n_rotated))
        pairs: F64 = -2.0 * np.arange(n // 2) / n
        return theta**pairs if theta else None

    def _read_yarn(self, theta: float, factor: float, plain: F64) -> None:
        """arXiv:2309.00071, with its two borders mostly rounded outwards."""
        pairs = np.arange(len(plain))
        fast = self.number("rope.scaling.yarn_beta_fast", 32)
        slow = self.number("rope.scaling.yarn_beta_slow", 1)
        at = np.log(self.n_ctx / (np.array([fast, slow]) * 2 * np.pi)) / np.log(theta)
        low, high = at * len(pairs)
        if self.architecture != "gpt-oss":
            low, high = np.floor(low), np.ceil(high)
        low, high = max(low, 0), min(high, self.n_rotated - 1)
        ramp = np.clip((pairs - low) / (high - low), 0, 1)
        self.frequencies = plain * (1 - ramp) + plain / factor * ramp
        under = self.number("rope.scaling.yarn_log_multiplier", 0)
        under *= 10 if self.rank else 1  # of which DeepSeek's files have a tenth
        grown = 0.1 * under * np.log(factor) + 1
        self.attention_factor *= 0.1 * np.log(factor) + 1
        if self.rank and under:  # and scores grow, not cosines and sines
            self.attention_factor, self.score_scale = 1.0, grown**2 * self.qk_dim**-0.5
        else:
            self.attention_factor /= grown

    def number(self, key: str, default: float | None = None) -> float:
        """A number of the architecture's; where layers differ, the most."""
        field = self._fields.get(f"{self.architecture}.{key}")
        if field is None and default is not None:
            return default
        if field is None:
            raise KeyError(f"{self._path}: no {self.architecture}.{key}")
        return float(np.max(field.contents()))

    def weight(self, name: str) -> F64:
        """A dequantized tensor: (out, in), or (n,) of a norm."""
        tensor = self.tensors[name]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return values.reshape([int(n) for n in tensor.shape[::-1]]).astype(np.float64)

    def one_of(self, *names: str) -> F64:
        """The first tensor that there is."""
        return self.weight(next(f"{n}.weight" for n in names if f"{n}.weight" in self.tensors))

    def norm(self, name: str, x: F64, eps: float = 0) -> F64:
        """The norm of that name, if there is one."""
        if name + ".weight" not in self.tensors:
            return x
        if self.centers:
            x = x - x.mean(-1, keepdims=True)
        mean = (x * x).mean(-1, keepdims=True)
        x = x / np.sqrt(mean + (eps or self.eps)) * self.weight(name + ".weight")
        return x + self.weight(name + ".bias") if name + ".bias" in self.tensors else x

    def linear(self, name: str, x: F64) -> F64:
        """Rows times a matrix, with its bias if it has one."""
        y: F64 = x @ self.weight(name + ".weight").T
        return y + self.weight(name + ".bias") if name + ".bias" in self.tensors else y


def capped(x: F64, cap: float) -> F64:
    """Numbers below a soft cap, if there is one."""
    return cap * np.tanh(x / cap) if cap else x
