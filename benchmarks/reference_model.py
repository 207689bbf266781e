"""The whole Llama forward pass in float64 NumPy: what a GGUF file's weights say, without rounding.

The yardstick for quality, shared by benchmarks and tests. It reads the file with the `gguf`
package and shares no code with halfbyte, so a mistake in either shows. Weights are dequantized
(to float32, exactly) and everything after that is float64: no quantized activations, no cache.
Plain rather than fast: about 15 seconds for 512 tokens of a 135M model.

Source: the papers' equations (Llama; Qwen2, which adds biases to q, k and v; Mistral, whose tokens
see a window); q and k as llama.cpp stores them, linear.weight as (out, in).
"""

from __future__ import annotations

from collections.abc import Sequence
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
        window = reader.fields.get("halfbyte.sliding_window")
        self.window = 0 if window is None else int(window.contents())
        # llama.cpp reorders Llama's q and k, so that RoPE's pairs are neighbours, and not Qwen's.
        self.pairs_are_halves = architecture.startswith("qwen")
        self.frequencies = number("rope.freq_base", 10000.0) ** (
            -np.arange(0, self.head_dim, 2) / self.head_dim
        ) / number("rope.scaling.factor", 1.0)
        if "rope_freqs.weight" in self._tensors:
            self.frequencies = self.frequencies / self.weight("rope_freqs.weight")
        if int(number("rope.dimension_count", self.head_dim)) != self.head_dim:
            raise ValueError(f"{path}: RoPE on a part of the head is not implemented")

    def weight(self, name: str) -> F64:
        """A dequantized tensor: (out, in), or (n,) of a norm."""
        tensor = self._tensors[name]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return values.reshape([int(n) for n in tensor.shape[::-1]]).astype(np.float64)

    def logits(self, ids: Sequence[int] | NDArray[np.int64]) -> F64:
        """Logits after each token: float64 (len(ids), vocab)."""
        x = self.weight("token_embd.weight")[np.asarray(ids)]
        for layer in range(self.n_layers):
            x = x + self._attention(f"blk.{layer}.", x)
            x = x + self._feed_forward(f"blk.{layer}.", x)
        output = "output.weight" if "output.weight" in self._tensors else "token_embd.weight"
        normed: F64 = self._norm("output_norm.weight", x)
        return normed @ self.weight(output).T

    def _norm(self, name: str, x: F64) -> F64:
        out: F64 = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weight(name)
        return out

    def _attention(self, block: str, x: F64) -> F64:
        x = self._norm(block + "attn_norm.weight", x)
        n, d = len(x), self.head_dim
        q = self._linear(block + "attn_q", x).reshape(n, self.n_heads, d)
        k = self._linear(block + "attn_k", x).reshape(n, self.n_kv_heads, d)
        if block + "attn_q_norm.weight" in self._tensors:
            q = self._norm(block + "attn_q_norm.weight", q)
            k = self._norm(block + "attn_k_norm.weight", k)
        q, k = self._rope(q), self._rope(k)
        v = self._linear(block + "attn_v", x).reshape(n, self.n_kv_heads, d)
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

    def _linear(self, name: str, x: F64) -> F64:
        y: F64 = x @ self.weight(name + ".weight").T
        return y + self.weight(name + ".bias") if name + ".bias" in self._tensors else y

    def _rope(self, x: F64) -> F64:
        """Rotate the pairs i of x, (n, heads, head_dim), by position * frequency i."""
        n, _, d = x.shape
        angle = np.outer(np.arange(n), self.frequencies)[:, None, :]
        if self.pairs_are_halves:
            first, second = slice(0, d // 2), slice(d // 2, d)
        else:
            first, second = slice(0, d, 2), slice(1, d, 2)
        a, b = x[..., first], x[..., second]
        out = np.empty_like(x)
        out[..., first] = a * np.cos(angle) - b * np.sin(angle)
        out[..., second] = a * np.sin(angle) + b * np.cos(angle)
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
        gate = x @ self.weight(block + "ffn_gate.weight").T
        up = x @ self.weight(block + "ffn_up.weight").T
        hidden: F64 = gate / (1 + np.exp(-gate)) * up
        return hidden @ self.weight(block + "ffn_down.weight").T
