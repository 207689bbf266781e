"""The whole Llama forward pass in float64 NumPy: what a GGUF file's weights say, without rounding.

The yardstick for quality, shared by benchmarks and tests. It reads the file with the `gguf`
package and shares no code with halfbyte, so a mistake in either shows. Weights are dequantized
(to float32, exactly) and everything after that is float64: no quantized activations, no cache.
Plain rather than fast: about 15 seconds for 512 tokens of a 135M model.

Source: the papers' equations (Llama; Qwen2, which adds biases to q, k and v; Mistral, whose tokens
see a window; YaRN; LongRoPE) and the families' model cards; q and k as llama.cpp stores them,
linear.weight as (out, in).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


class ReferenceModel:
    """A model of the Llama family from a GGUF file."""

    def __init__(self, path: str | Path) -> None:
        reader = gguf.GGUFReader(path)
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        architecture = reader.fields["general.architecture"].contents()

        def number(key: str, default: float | None = None) -> float:
            field = reader.fields.get(f"{architecture}.{key}")
            if field is None and default is not None:
                return default
            if field is None:
                raise KeyError(f"{path}: no {architecture}.{key}")
            return float(field.contents())

        self.n_layers = int(number("block_count"))
        self.n_heads = int(number("attention.head_count"))
        self.n_kv_heads = int(number("attention.head_count_kv", self.n_heads))
        self.dim = int(number("embedding_length"))
        self.head_dim = int(number("attention.key_length", self.dim // self.n_heads))
        self.n_used = int(number("expert_used_count", 0))
        self.normalizes = bool(number("expert_weights_norm", 1))
        self.eps = number("attention.layer_norm_rms_epsilon")
        own = f"{architecture}.attention.sliding_window"  # else Mistral's
        window = reader.fields.get(own, reader.fields.get("halfbyte.sliding_window"))
        self.window = 0 if window is None else int(window.contents())
        # llama.cpp reorders Llama's q and k, so that RoPE's pairs are neighbours, and not Qwen's.
        self.pairs_are_halves = architecture.startswith(("qwen", "phi"))
        self.n_rotated = int(number("rope.dimension_count", self.head_dim))
        self.is_smollm3 = architecture == "smollm3"
        self.n_ctx = int(number("rope.scaling.original_context_length", number("context_length")))
        self.temperature = number("attention.temperature_scale", 0.0)
        self.attention_factor = number("rope.scaling.attn_factor", 1.0)
        kind = reader.fields.get(f"{architecture}.rope.scaling.type")
        self._set_frequencies(number, "linear" if kind is None else kind.contents())

    def _set_frequencies(self, number: Callable[[str, float], float], kind: str) -> None:
        theta, factor = number("rope.freq_base", 10000.0), number("rope.scaling.factor", 1.0)
        pairs = np.arange(self.n_rotated // 2)
        plain = theta ** (-2.0 * pairs / self.n_rotated)
        self.frequencies = plain / factor
        if "rope_freqs.weight" in self._tensors:
            self.frequencies = self.frequencies / self.weight("rope_freqs.weight")
        if kind == "longrope":  # as if contexts were always long
            self.frequencies = plain / self.weight("rope_factors_long.weight")
        if kind == "yarn":  # arXiv:2309.00071, with its two borders rounded outwards
            turns = [
                number("rope.scaling.yarn_beta_fast", 32), number("rope.scaling.yarn_beta_slow", 1)
            ]  # fmt: skip
            at = np.log(self.n_ctx / (np.array(turns) * 2 * np.pi)) / np.log(theta)
            low, high = np.floor(at[0] * len(pairs)), np.ceil(at[1] * len(pairs))
            low, high = max(low, 0), min(high, self.n_rotated - 1)
            ramp = np.clip((pairs - low) / (high - low), 0, 1)
            self.frequencies = plain * (1 - ramp) + plain / factor * ramp
            under = number("rope.scaling.yarn_log_multiplier", 0)
            self.attention_factor *= 0.1 * np.log(factor) + 1
            self.attention_factor /= 0.1 * under * np.log(factor) + 1

    def weight(self, name: str) -> F64:
        """A dequantized tensor: (out, in), or (n,) of a norm."""
        tensor = self._tensors[name]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return values.reshape([int(n) for n in tensor.shape[::-1]]).astype(np.float64)

    def logits(self, ids: Sequence[int] | NDArray[np.int64]) -> F64:
        """Logits after each token: float64 (len(ids), vocab)."""
        x = self.weight("token_embd.weight")[np.asarray(ids)]
        for layer in range(self.n_layers):
            rotates = not (self.is_smollm3 and layer % 4 == 3)
            x = x + self._attention(f"blk.{layer}.", x, rotates)
            x = x + self._feed_forward(f"blk.{layer}.", x)
        output = "output.weight" if "output.weight" in self._tensors else "token_embd.weight"
        normed: F64 = self._norm("output_norm.weight", x)
        return normed @ self.weight(output).T

    def _norm(self, name: str, x: F64) -> F64:
        out: F64 = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weight(name)
        return out

    def _attention(self, block: str, x: F64, rotates: bool) -> F64:
        x = self._norm(block + "attn_norm.weight", x)
        n, d = len(x), self.head_dim
        q, k, v = (made.reshape(n, -1, d) for made in self._qkv(block, x))
        if block + "attn_q_norm.weight" in self._tensors:
            q = self._norm(block + "attn_q_norm.weight", q)
            k = self._norm(block + "attn_k_norm.weight", k)
        if rotates:
            q, k = self._rope(q), self._rope(k)
        q = q * (1 + self.temperature * np.log1p(np.arange(n) // self.n_ctx))[:, None, None]
        hidden = np.triu(np.full((n, n), -np.inf), 1)
        if self.window:
            hidden += np.tril(np.full((n, n), -np.inf), -self.window)
        out = np.empty_like(q)
        for head in range(self.n_heads):
            kv_head = head // (self.n_heads // self.n_kv_heads)
            scores = q[:, head] @ k[:, kv_head].T / np.sqrt(d) + hidden
            p = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, head] = p / p.sum(-1, keepdims=True) @ v[:, kv_head]
        return out.reshape(n, -1) @ self.weight(block + "attn_output.weight").T

    def _qkv(self, block: str, x: F64) -> list[F64]:
        if block + "attn_qkv.weight" not in self._tensors:
            return [self._linear(f"{block}attn_{name}", x) for name in "qkv"]
        q, kv = (n * self.head_dim for n in (self.n_heads, self.n_kv_heads))
        return np.split(self._linear(block + "attn_qkv", x), [q, q + kv], axis=1)

    def _linear(self, name: str, x: F64) -> F64:
        y: F64 = x @ self.weight(name + ".weight").T
        return y + self.weight(name + ".bias") if name + ".bias" in self._tensors else y

    def _rope(self, x: F64) -> F64:
        """Rotate the pairs i of x, (n, heads, head_dim), by position * frequency i."""
        n, d = len(x), self.n_rotated
        angle = np.outer(np.arange(n), self.frequencies)[:, None, :]
        if self.pairs_are_halves:
            first, second = slice(0, d // 2), slice(d // 2, d)
        else:
            first, second = slice(0, d, 2), slice(1, d, 2)
        a, b = x[..., first], x[..., second]
        cos, sin = np.cos(angle) * self.attention_factor, np.sin(angle) * self.attention_factor
        out = x.copy()
        out[..., first], out[..., second] = a * cos - b * sin, a * sin + b * cos
        return out

    def _experts(self, block: str, x: F64) -> F64:
        """Each token's best experts, weighed by the softmax of their logits."""
        logits = x @ self.weight(block + "ffn_gate_inp.weight").T
        gate, up, down = (
            self.weight(f"{block}ffn_{n}_exps.weight") for n in ("gate", "up", "down")
        )
        out = np.zeros_like(x)
        for row, logit in enumerate(logits):
            used = np.argsort(-logit)[: self.n_used]
            scores = np.exp(logit - logit.max())
            total = scores[used].sum() if self.normalizes else scores.sum()
            for e, weight in zip(used, scores[used] / total, strict=True):
                g = gate[e] @ x[row]
                out[row] += weight * (down[e] @ (g / (1 + np.exp(-g)) * (up[e] @ x[row])))
        if block + "ffn_up_shexp.weight" in self._tensors:
            out += self._shared(block, x)
        return out

    def _shared(self, block: str, x: F64) -> F64:
        """What the expert gives that all tokens have."""
        gate, up, down = (
            self.weight(f"{block}ffn_{n}_shexp.weight") for n in ("gate", "up", "down")
        )
        g = x @ gate.T
        shared: F64 = (g / (1 + np.exp(-g)) * (x @ up.T)) @ down.T
        own = x @ self.weight(block + "ffn_gate_inp_shexp.weight").reshape(-1, 1)
        return shared / (1 + np.exp(-own))

    def _feed_forward(self, block: str, x: F64) -> F64:
        x = self._norm(block + "ffn_norm.weight", x)
        if self.n_used:
            return self._experts(block, x)
        up = x @ self.weight(block + "ffn_up.weight").T
        if block + "ffn_gate.weight" in self._tensors:
            gate = x @ self.weight(block + "ffn_gate.weight").T
        else:  # both are one tensor
            gate, up = np.split(up, 2, axis=1)
        hidden: F64 = gate / (1 + np.exp(-gate)) * up
        return hidden @ self.weight(block + "ffn_down.weight").T
