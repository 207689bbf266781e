"""Gemma 4: heads and networks by layer, keys of other layers, embeddings of each layer."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from .attention import hidden_scores, softmax
from .model import ReferenceModel
from .model_file import F64
from .networks import activated
from .rotation import rotated


class ReferenceGemma4(ReferenceModel):
    """A model of that family."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        fields = gguf.GGUFReader(path).fields
        self._local_dim = int(fields["gemma4.attention.key_length_swa"].contents())
        self._n_own = self.n_layers - int(fields["gemma4.attention.shared_kv_layers"].contents())
        theta, n = float(fields["gemma4.rope.freq_base_swa"].contents()), self._local_dim
        self.local_frequencies = theta ** (-2.0 * np.arange(n // 2) / n)
        self._kept: dict[bool, tuple[F64, F64]] = {}
        self._own = np.empty(0)

    def _begin(self, ids: NDArray[np.int64], x: F64) -> None:
        if "per_layer_token_embd.weight" not in self.tensors:
            return
        norm = self.weight("per_layer_proj_norm.weight")
        rows = self.weight("per_layer_token_embd.weight")[ids].reshape(len(ids), -1, len(norm))
        made = (self.linear("per_layer_model_proj", x) / self.dim**0.5).reshape(rows.shape)
        made = self.norm("per_layer_proj_norm", made)
        self._own = (made + rows * len(norm) ** 0.5) / 2**0.5

    def _attention(self, block: str, x: F64, layer: int) -> F64:
        n, sees_all = len(x), self.sees_all[layer]
        d = self.head_dim if sees_all else self._local_dim
        frequencies = self.frequencies if sees_all else self.local_frequencies
        assert frequencies is not None
        q = self.norm(block + "attn_q_norm", self.linear(block + "attn_q", x).reshape(n, -1, d))
        q = rotated(self, q, frequencies, 1.0)
        if layer < self._n_own:
            k = self.linear(block + "attn_k", x).reshape(n, -1, d)
            v = k
            if block + "attn_v.weight" in self.tensors:
                v = self.linear(block + "attn_v", x).reshape(n, -1, d)
            v = v / np.sqrt((v * v).mean(-1, keepdims=True) + self.eps)
            k = rotated(self, self.norm(block + "attn_k_norm", k), frequencies, 1.0)
            self._kept[sees_all] = k, v
        k, v = self._kept[sees_all]
        hidden = hidden_scores(n, 0 if sees_all else self.window)
        out, group = np.empty_like(q), q.shape[1] // k.shape[1]
        for head in range(q.shape[1]):
            scores = q[:, head] @ k[:, head // group].T + hidden
            out[:, head] = softmax(scores) @ v[:, head // group]
        return self.linear(block + "attn_output", out.reshape(n, -1))

    def _network(self, block: str, x: F64, y: F64, layer: int) -> F64:
        gate, up = (self.linear(f"{block}ffn_{name}", y) for name in ("gate", "up"))
        y = self.linear(block + "ffn_down", activated(self, gate) * up)
        if block + "ffn_gate_inp.weight" not in self.tensors:
            return y
        y = self.norm(block + "post_ffw_norm_1", y)
        return y + self.norm(block + "post_ffw_norm_2", self._experts(block, x))

    def _experts(self, block: str, x: F64) -> F64:
        """What experts make of x, which a router sees by a norm of its own."""
        routed = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        routed = routed * self.weight(block + "ffn_gate_inp.scale") / self.dim**0.5
        logits = self.linear(block + "ffn_gate_inp", routed)
        x = self.norm(block + "pre_ffw_norm_2", x)
        gate, up, down = (
            self.weight(f"{block}ffn_{n}_exps.weight") for n in ("gate", "up", "down")
        )
        factors, out = self.weight(block + "ffn_down_exps.scale"), np.zeros_like(x)
        for row, logit in enumerate(logits):
            scores = np.exp(logit - logit.max())
            used = np.argsort(-scores)[: self.n_used]
            for e, weight in zip(used, scores[used] / scores[used].sum(), strict=True):
                hidden = activated(self, gate[e] @ x[row]) * (up[e] @ x[row])
                out[row] += weight * factors[e] * (down[e] @ hidden)
        return out

    def _behind_layer(self, block: str, x: F64, layer: int) -> F64:
        if self._own.size:
            y = activated(self, self.linear(block + "inp_gate", x)) * self._own[:, layer]
            x = x + self.norm(block + "post_norm", self.linear(block + "proj", y))
        return x * self.weight(block + "layer_output_scale.weight")
