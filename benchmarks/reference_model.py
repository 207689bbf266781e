"""The whole Llama forward pass in float64 NumPy: what a GGUF file's weights say, without rounding.

The yardstick for quality, shared by benchmarks and tests. It reads the file with the `gguf`
package and shares no code with halfbyte, so a mistake in either shows. Weights are dequantized
(to float32, exactly) and everything after that is float64: no quantized activations, no cache.
Plain rather than fast: about 15 seconds for 512 tokens of a 135M model.

Source: the papers' equations (YaRN and LongRoPE among them) and the families' model cards, of which
an operation is done where a file has its tensors or its number; q and k as llama.cpp stores them,
linear.weight as (out, in).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
_POST = ("post_attention_norm", "post_ffw_norm")


class ReferenceModel:
    """A model of the Llama family from a GGUF file."""

    def __new__(cls, path: str | Path) -> ReferenceModel:
        """One of the class that the file's architecture has."""
        architecture = gguf.GGUFReader(path).fields["general.architecture"].contents()
        return object.__new__(ReferenceGemma4 if architecture == "gemma4" else cls)

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
            return float(np.max(field.contents()))  # where layers differ, the most

        n_blocks = int(number("block_count"))  # with those that guess
        self.n_layers = n_blocks - int(number("nextn_predict_layers", 0))
        heads = np.atleast_1d(reader.fields[f"{architecture}.attention.head_count"].contents())
        self.heads = [int(n) for n in np.broadcast_to(heads, n_blocks)]
        self.n_heads = max(self.heads)
        kv_heads = reader.fields.get(f"{architecture}.attention.head_count_kv")
        self.n_kv_heads = int(np.max(kv_heads.contents())) if kv_heads else self.n_heads
        self.dim = int(number("embedding_length"))
        self.head_dim = int(number("attention.key_length", self.dim // self.n_heads))
        self.architecture = architecture
        self.centers = "attention.layer_norm_epsilon" in " ".join(reader.fields)
        self.eps = number(f"attention.layer_norm_{'' if self.centers else 'rms_'}epsilon")
        self.centers = self.centers and not architecture.startswith("nemotron")
        is_gemma = architecture.startswith("gemma")
        self.embedding_scale = self.dim**0.5 if is_gemma else number("embedding_scale", 1)
        self.residual_scale = number("residual_scale", 1)
        self.score_scale = number("attention.scale", 0) or self.head_dim**-0.5
        self.logit_scale = number("logit_scale", 1)
        self.score_cap = number("attn_logit_softcapping", 0)
        self.logit_cap = number("final_logit_softcapping", 0)
        self.n_used = int(number("expert_used_count", 0))
        self.normalizes = bool(number("expert_weights_norm", 1))
        self.expert_scale = number("expert_weights_scale", 1)
        self.is_sigmoid = number("expert_gating_func", 1) == 2
        self.n_groups = [int(number(f"expert_group{n}_count", 1)) for n in ("", "_used")]
        self.rank = int(number("attention.kv_lora_rank", 0))
        names = ("group_count", "time_step_rank", "state_size", "inner_size")
        self.net_sizes = [int(number(f"ssm.{name}", 0)) for name in names]
        self.qk_dim = int(number("attention.key_length_mla", 0))
        names = (f"xielu.{name}" for name in ("alpha_p", "alpha_n", "beta", "eps"))
        self.xielu = [reader.fields[name].contents() for name in names if name in reader.fields]
        own = f"{architecture}.attention.sliding_window"  # else Mistral's
        window = reader.fields.get(own, reader.fields.get("halfbyte.sliding_window"))
        self.window = 0 if window is None else int(window.contents())
        # llama.cpp reorders Llama's q and k, so that RoPE's pairs are neighbours, and not Qwen's.
        self.pairs_are_halves = architecture not in (
            "llama", "granite", "granitemoe", "ernie4_5", "ernie4_5-moe", "smollm3", "mistral3",
            "glm4", "deepseek2", "granitehybrid", "nemotron_h", "nemotron_h_moe",
        )  # fmt: skip
        self.rotates = architecture not in ("starcoder", "nemotron_h", "nemotron_h_moe")
        self.rotates &= bool(number("rope.scaling.finetuned", 1))
        self.n_rotated = int(number("rope.dimension_count", self.head_dim))
        pattern = reader.fields.get(f"{architecture}.attention.sliding_window_pattern")
        every = {"gemma2": 2, "gemma3": 6, "olmo2": 4, "mellum": 4, "laguna": 4, "gpt-oss": 2}.get(
            architecture, 0
        )
        first = int(architecture != "laguna")  # 1: the last of so many layers sees all
        self.sees_all = [every > 0 and (i + first) % every == 0 for i in range(n_blocks)]
        if pattern is not None:
            self.sees_all = [not one for one in pattern.contents()]
        local_theta = number("rope.freq_base_swa", 1e4) if architecture == "gemma3" else 0.0
        if architecture in ("mellum", "laguna") or (architecture == "olmo2" and self.window):
            local_theta = number("rope.freq_base_swa", number("rope.freq_base"))
        n = int(number("rope.dimension_count_swa", self.n_rotated))
        pairs = -2.0 * np.arange(n // 2) / n
        self.local_frequencies = local_theta**pairs if local_theta else None
        self.n_ctx = int(number("rope.scaling.original_context_length", number("context_length")))
        self.temperature = number("attention.temperature_scale", 0.0)
        self.attention_factor = number("rope.scaling.attn_factor", 1.0)
        kind = reader.fields.get(f"{architecture}.rope.scaling.type")
        if self.rank:
            self.score_scale = self.qk_dim**-0.5
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
        if kind == "yarn":  # arXiv:2309.00071, with its two borders mostly rounded outwards
            turns = [
                number("rope.scaling.yarn_beta_fast", 32), number("rope.scaling.yarn_beta_slow", 1)
            ]  # fmt: skip
            at = np.log(self.n_ctx / (np.array(turns) * 2 * np.pi)) / np.log(theta)
            low, high = at * len(pairs)
            if self.architecture != "gpt-oss":
                low, high = np.floor(low), np.ceil(high)
            low, high = max(low, 0), min(high, self.n_rotated - 1)
            ramp = np.clip((pairs - low) / (high - low), 0, 1)
            self.frequencies = plain * (1 - ramp) + plain / factor * ramp
            under = number("rope.scaling.yarn_log_multiplier", 0)
            under *= 10 if self.rank else 1  # of which DeepSeek's files have a tenth
            grown = 0.1 * under * np.log(factor) + 1
            self.attention_factor *= 0.1 * np.log(factor) + 1
            if self.rank and under:  # and scores grow, not cosines and sines
                self.attention_factor, self.score_scale = 1.0, grown**2 * self.qk_dim**-0.5
            else:
                self.attention_factor /= grown

    def weight(self, name: str) -> F64:
        """A dequantized tensor: (out, in), or (n,) of a norm."""
        tensor = self._tensors[name]
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        return values.reshape([int(n) for n in tensor.shape[::-1]]).astype(np.float64)

    def logits(self, ids: Sequence[int] | NDArray[np.int64]) -> F64:
        """Logits after each token: float64 (len(ids), vocab)."""
        return self._head(self.states(ids))

    def states(self, ids: Sequence[int] | NDArray[np.int64]) -> F64:
        """What the last norm gives: float64 (len(ids), dim)."""
        x = self.weight("token_embd.weight")[np.asarray(ids)] * self.embedding_scale
        if "position_embd.weight" in self._tensors:
            x = x + self.weight("position_embd.weight")[: len(ids)]
        self._begin(np.asarray(ids), x)
        for layer in range(self.n_layers):
            x = self._layer(x, layer)
        own = "token_embd_norm" if "token_embd_norm.weight" in self._tensors else "output_norm"
        return self._norm(own, x)

    def guesses(self, ids: Sequence[int], n: int) -> F64:
        """Logits of the next n tokens by the layer that guesses, each guess after the one before.

        Source: DeepSeek-V3, arXiv:2412.19437, its module for one token more, applied again to what
        it gives; the state of position i goes with token i + 1. float64 (n, vocab).
        """
        at, states, tokens = f"blk.{self.n_layers}.nextn.", self.states(ids[:-1]), list(ids[1:])
        rows = list[F64]()
        for _ in range(n):
            e = self._one_of(at + "embed_tokens", "token_embd")[np.array(tokens)]
            parts = (self._norm(at + "enorm", e), self._norm(at + "hnorm", states))
            x = self._layer(self._linear(at + "eh_proj", np.concatenate(parts, 1)), self.n_layers)
            norm = at + "shared_head_norm"
            y = self._norm(norm if norm + ".weight" in self._tensors else "output_norm", x)
            rows.append(self._head(y[-1:], at + "shared_head_head")[0])
            states = np.concatenate([states, y[-1:]])
            tokens.append(int(rows[-1].argmax()))
        return np.array(rows)

    def _layer(self, x: F64, layer: int) -> F64:
        # Their post_attention_norm is an ffn_norm.
        seed_oss = self.architecture in ("seed_oss", "glm4moe", "gpt-oss", "qwen3next", "qwen35",
                                         "qwen35moe")  # fmt: skip
        at = f"blk.{layer}."
        if self.architecture.startswith("nemotron"):
            return x + self._only(at, x, layer)
        if at + "shortconv.conv.weight" in self._tensors:
            y = self._convolution(at, x)
        elif at + "ssm_in.weight" in self._tensors:
            y = self._mamba(at, x)
        else:
            y = self._attention(at, x, layer)
        x = x + self.residual_scale * (y if seed_oss else self._norm(at + _POST[0], y))
        y = self._norm(at + (_POST[0] if seed_oss else "ffn_norm"), x)
        y = self._network(at, x, y, layer)
        x = x + self.residual_scale * self._norm(at + _POST[1], y)
        return self._behind_layer(at, x, layer)

    def _head(self, x: F64, own: str = "output") -> F64:
        """Logits of normed states."""
        y: F64 = x @ self._one_of(own, "output", "token_embd").T / self.logit_scale
        return _capped(y, self.logit_cap)

    def _one_of(self, *names: str) -> F64:
        """The first tensor that there is."""
        return self.weight(next(f"{n}.weight" for n in names if f"{n}.weight" in self._tensors))

    def _only(self, block: str, x: F64, layer: int) -> F64:
        """What one of Nemotron-H's layers adds, which are of one kind each."""
        if block + "ssm_in.weight" in self._tensors:
            return self._mamba(block, x)
        if block + "attn_q.weight" in self._tensors:
            return self._attention(block, x, layer)
        return self._feed_forward(block, self._norm(block + "attn_norm", x), layer)

    def _mamba(self, block: str, x: F64) -> F64:
        """Mamba-2 (arXiv:2405.21060), token by token."""
        names = ("conv1d.weight", "conv1d.bias", "dt.bias", "a", "d", "norm.weight")
        w = {name: self.weight(f"{block}ssm_{name}") for name in names}
        (n_groups, width), n_heads = w["norm.weight"].shape, w["a"].size
        inner, n_taps = n_groups * width, w["conv1d.weight"].shape[1]
        rows = self._linear(block + "ssm_in", self._norm(block + "attn_norm", x))
        z, u, dt = np.split(rows, [inner, rows.shape[1] - n_heads], axis=1)
        before = np.concatenate([np.zeros((n_taps - 1, u.shape[1])), u])
        u = w["conv1d.bias"] + sum(
            before[k : k + len(u)] * w["conv1d.weight"][:, k] for k in range(n_taps)
        )
        u = u / (1 + np.exp(-u))
        u, b, c = np.split(u, [inner, inner + (u.shape[1] - inner) // 2], axis=1)
        b, c = (y.reshape(len(u), n_groups, -1).repeat(n_heads // n_groups, 1) for y in (b, c))
        u, dt = u.reshape(len(u), n_heads, -1), np.log1p(np.exp(dt + w["dt.bias"]))
        h, out = np.zeros((n_heads, u.shape[2], b.shape[2])), np.empty_like(u)
        for t in range(len(u)):
            h = h * np.exp(dt[t, :, None, None] * w["a"][:, :, None])
            h = h + dt[t, :, None, None] * u[t][:, :, None] * b[t][:, None]
            out[t] = np.einsum("hpn,hn->hp", h, c[t]) + w["d"] * u[t]
        y = (out.reshape(z.shape) * z / (1 + np.exp(-z))).reshape(len(u), n_groups, -1)
        y = y / np.sqrt((y * y).mean(-1, keepdims=True) + self.eps) * w["norm.weight"]
        return self._linear(block + "ssm_out", y.reshape(z.shape))

    def _begin(self, ids: NDArray[np.int64], x: F64) -> None:
        """What is made of the tokens and their embeddings before the first layer."""

    def _network(self, block: str, x: F64, y: F64, layer: int) -> F64:
        """A layer's network of x, of which y is the norm."""
        return self._feed_forward(block, y, layer)

    def _behind_layer(self, block: str, x: F64, layer: int) -> F64:
        """What becomes of a layer's result."""
        return x

    def _norm(self, name: str, x: F64, eps: float = 0) -> F64:
        """The norm of that name, if there is one."""
        if name + ".weight" not in self._tensors:
            return x
        if self.centers:
            x = x - x.mean(-1, keepdims=True)
        mean = (x * x).mean(-1, keepdims=True)
        x = x / np.sqrt(mean + (eps or self.eps)) * self.weight(name + ".weight")
        return x + self.weight(name + ".bias") if name + ".bias" in self._tensors else x

    def _rope_of(self, layer: int) -> F64 | None:
        """The frequencies of a layer, if it rotates."""
        if not self.rotates or (self.architecture == "smollm3" and layer % 4 == 3):
            return None
        is_local = self.local_frequencies is not None and not self.sees_all[layer]
        return self.local_frequencies if is_local else self.frequencies

    def _latent_attention(self, block: str, x: F64) -> F64:
        """Keys and values of all heads, made of a vector (arXiv:2405.04434): as it was trained."""
        n, at = len(x), self.qk_dim - self.n_rotated
        kv = self._linear(block + "attn_kv_a_mqa", x)
        if block + "attn_q_a.weight" in self._tensors:
            x = self._norm(block + "attn_q_a_norm", self._linear(block + "attn_q_a", x), 1e-6)
            q = self._linear(block + "attn_q_b", x)
        else:
            q = self._linear(block + "attn_q", x)
        q = q.reshape(n, self.n_heads, -1)
        c = self._norm(block + "attn_kv_a_norm", kv[:, : self.rank], 1e-6)
        q2, k2 = (self._rope(y, self.frequencies, self.attention_factor)
                  for y in (q[..., at:], kv[:, None, self.rank :]))  # fmt: skip
        heads = []
        k_b, v_b = (self.weight(f"{block}attn_{name}_b.weight") for name in "kv")
        for head in range(self.n_heads):
            scores = q[:, head, :at] @ (c @ k_b[head]).T + q2[:, head] @ k2[:, 0].T
            scores = scores * self.score_scale + np.triu(np.full((n, n), -np.inf), 1)
            p = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(p / p.sum(-1, keepdims=True) @ (c @ v_b[head].T))
        return self._linear(block + "attn_output", np.concatenate(heads, axis=1))

    def _attention(self, block: str, x: F64, layer: int) -> F64:
        x = self._norm(block + "attn_norm", x)
        if self.rank:
            return self._latent_attention(block, x)
        if block + "ssm_ba.weight" in self._tensors or block + "ssm_beta.weight" in self._tensors:
            return self._delta_net(block, x)
        n, d = len(x), self.head_dim
        q, k, v = self._qkv(block, x)
        is_gated = q.shape[1] == 2 * self.heads[layer] * d  # each head's gate behind its query
        if is_gated:
            q, gate = (y.reshape(n, -1) for y in np.split(q.reshape(n, -1, 2 * d), 2, axis=2))
        names, rotated = (block + "attn_q_norm", block + "attn_k_norm"), []
        for y, norm in zip((q, k), names, strict=True):
            whole = norm + ".weight" in self._tensors and len(self.weight(norm + ".weight")) > d
            y = self._norm(norm, y).reshape(n, -1, d) if whole else y.reshape(n, -1, d)
            y = y if whole else self._norm(norm, y)
            frequencies = self._rope_of(layer)
            factor = 1.0 if frequencies is self.local_frequencies else self.attention_factor
            rotated.append(y if frequencies is None else self._rope(y, frequencies, factor))
        (q, k), v = rotated, v.reshape(n, -1, d)
        q = q * (1 + self.temperature * np.log1p(np.arange(n) // self.n_ctx))[:, None, None]
        hidden = np.triu(np.full((n, n), -np.inf), 1)
        if self.window and not self.sees_all[layer]:
            hidden += np.tril(np.full((n, n), -np.inf), -self.window)
        out = np.empty_like(q)
        for head in range(self.heads[layer]):
            kv_head = head // (self.heads[layer] // self.n_kv_heads)
            scores = q[:, head] @ k[:, kv_head].T * self.score_scale
            scores = _capped(scores, self.score_cap) + hidden
            sink = -np.inf
            if block + "attn_sinks.weight" in self._tensors:
                sink = self.weight(block + "attn_sinks.weight")[head]
            top = np.maximum(scores.max(-1, keepdims=True), sink)
            p = np.exp(scores - top)
            out[:, head] = p / (p.sum(-1, keepdims=True) + np.exp(sink - top)) @ v[:, kv_head]
        if block + "attn_gate.weight" in self._tensors:
            gates = np.log1p(np.exp(self._linear(block + "attn_gate", x)))
            out = (out.reshape(n, gates.shape[1], -1) * gates[..., None]).reshape(out.shape)
        if is_gated:
            out = out.reshape(n, -1) / (1 + np.exp(-gate))
        return self._linear(block + "attn_output", out.reshape(n, -1))

    def _convolution(self, block: str, x: F64) -> F64:
        """LFM2's short convolution (arXiv:2511.23404): zeros lie before the first row."""
        at = block + "shortconv."
        b, c, u = np.split(self._linear(at + "in_proj", self._norm(block + "attn_norm", x)), 3, 1)
        taps, made = self.weight(at + "conv.weight"), np.zeros_like(u)
        for back in range(taps.shape[1]):
            made[back:] += (b * u)[: len(u) - back] * taps[:, -1 - back]
        if at + "conv.bias" in self._tensors:
            made += self.weight(at + "conv.bias")
        return self._linear(at + "out_proj", c * made)

    def _delta_net(self, block: str, x: F64) -> F64:
        """A gated delta net (arXiv:2412.06464), token by token."""
        n, (n_keys, n_heads, d_k, inner) = len(x), self.net_sizes
        d_v, group, is_tiled = inner // n_heads, n_heads // n_keys, self.architecture != "qwen3next"
        qkv, z = self._linear(block + "attn_qkv", x), self._linear(block + "attn_gate", x)
        taps = self.weight(block + "ssm_conv1d.weight")
        past = np.concatenate([np.zeros((taps.shape[1] - 1, len(taps))), qkv])
        mixed = sum(past[j : j + n] * taps[:, j] for j in range(taps.shape[1]))
        mixed = mixed / (1 + np.exp(-mixed))
        q, k = mixed[:, : n_keys * d_k], mixed[:, n_keys * d_k : 2 * n_keys * d_k]
        q, k = (y.reshape(n, n_keys, d_k) for y in (q, k))
        q, k = (y / np.sqrt((y * y).sum(-1, keepdims=True) + 1e-6) for y in (q, k))
        v = mixed[:, 2 * n_keys * d_k :].reshape(n, n_heads, d_v)
        if is_tiled:
            b, a = self._linear(block + "ssm_beta", x), self._linear(block + "ssm_alpha", x)
        else:
            both = self._linear(block + "ssm_ba", x).reshape(n, n_keys, 2, group)
            b, a = both[:, :, 0].reshape(n, -1), both[:, :, 1].reshape(n, -1)
        decay = np.exp(self.weight(block + "ssm_a") * np.log1p(
            np.exp(a + self.weight(block + "ssm_dt.bias"))))  # fmt: skip
        out = np.empty_like(v)
        for head in range(n_heads):
            key_head, state = head % n_keys if is_tiled else head // group, np.zeros((d_k, d_v))
            for t in range(n):
                state = decay[t, head] * state
                error = v[t, head] - k[t, key_head] @ state
                state = state + np.outer(k[t, key_head], error / (1 + np.exp(-b[t, head])))
                out[t, head] = q[t, key_head] @ state / d_k**0.5
        out = self._norm(block + "ssm_norm", out).reshape(n, -1)
        return self._linear(block + "ssm_out", out * z / (1 + np.exp(-z)))

    def _qkv(self, block: str, x: F64) -> list[F64]:
        if block + "attn_qkv.weight" not in self._tensors:
            return [self._linear(f"{block}attn_{name}", x) for name in "qkv"]
        q, kv = (n * self.head_dim for n in (self.n_heads, self.n_kv_heads))
        return np.split(self._linear(block + "attn_qkv", x), [q, q + kv], axis=1)

    def _linear(self, name: str, x: F64) -> F64:
        y: F64 = x @ self.weight(name + ".weight").T
        return y + self.weight(name + ".bias") if name + ".bias" in self._tensors else y

    def _rope(self, x: F64, frequencies: F64, factor: float) -> F64:
        """Rotate the pairs i of x, (n, heads, head_dim), by position * frequency i."""
        n, d = len(x), 2 * len(frequencies)
        angle = np.outer(np.arange(n), frequencies)[:, None, :]
        if self.pairs_are_halves:
            first, second = slice(0, d // 2), slice(d // 2, d)
        else:
            first, second = slice(0, d, 2), slice(1, d, 2)
        a, b = x[..., first], x[..., second]
        cos, sin = np.cos(angle) * factor, np.sin(angle) * factor
        out = x.copy()
        out[..., first], out[..., second] = a * cos - b * sin, a * sin + b * cos
        return out

    def _experts(self, block: str, x: F64) -> F64:
        """Each token's best experts, weighed by the softmax of their logits, or their sigmoids."""
        logits = self._linear(block + "ffn_gate_inp", x)
        up, down = (self.weight(f"{block}ffn_{n}_exps.weight") for n in ("up", "down"))
        has_gate = f"{block}ffn_gate_exps.weight" in self._tensors
        gate = self.weight(f"{block}ffn_gate_exps.weight") if has_gate else up
        out = np.zeros_like(x)
        for row, logit in enumerate(logits):
            scores = np.exp(logit - logit.max())
            scores = 1 / (1 + np.exp(-logit)) if self.is_sigmoid else scores / scores.sum()
            used = np.argsort(-self._wanted(block, scores))[: self.n_used]
            total = (scores[used].sum() if self.normalizes else 1) / self.expert_scale
            for e, weight in zip(used, scores[used] / total, strict=True):
                g, u = gate[e] @ x[row], up[e] @ x[row]
                if not has_gate:
                    out[row] += weight * (down[e] @ self._activated(u))
                elif self.architecture == "gpt-oss":
                    out[row] += weight * self._clamped(block, e, g, u, down[e])
                else:
                    out[row] += weight * (down[e] @ (g / (1 + np.exp(-g)) * u))
        if block + "ffn_up_shexp.weight" in self._tensors:
            out += self._shared(block, x)
        return out

    def _clamped(self, block: str, e: int, g: F64, u: F64, down: F64) -> F64:
        """What one of gpt-oss' experts gives."""
        gate_bias, up_bias, down_bias = (
            self.weight(f"{block}ffn_{n}_exps.bias")[e] for n in ("gate", "up", "down")
        )
        g, u = np.minimum(g + gate_bias, 7), np.clip(u + up_bias, -7, 7)
        out: F64 = down @ (g / (1 + np.exp(-1.702 * g)) * (u + 1)) + down_bias
        return out

    def _wanted(self, block: str, scores: F64) -> F64:
        """By what experts are chosen: only those of the best groups, by their best one or two."""
        if block + "exp_probs_b.bias" in self._tensors:
            scores = scores + self.weight(block + "exp_probs_b.bias").ravel()
        n, n_used = self.n_groups
        best = np.sort(scores.reshape(n, -1), -1)[:, -2 if self.is_sigmoid else -1 :].sum(-1)
        kept = np.isin(np.arange(n), np.argsort(-best)[:n_used])
        return np.where(kept.repeat(len(scores) // n), scores, -np.inf)

    def _shared(self, block: str, x: F64) -> F64:
        """What the expert gives that all tokens have."""
        up, down = (self.weight(f"{block}ffn_{n}_shexp.weight") for n in ("up", "down"))
        if f"{block}ffn_gate_shexp.weight" not in self._tensors:
            return self._activated(x @ up.T) @ down.T
        g = x @ self.weight(f"{block}ffn_gate_shexp.weight").T
        shared: F64 = (g / (1 + np.exp(-g)) * (x @ up.T)) @ down.T
        if block + "ffn_gate_inp_shexp.weight" not in self._tensors:
            return shared
        own = x @ self.weight(block + "ffn_gate_inp_shexp.weight").reshape(-1, 1)
        return shared / (1 + np.exp(-own))

    def _feed_forward(self, block: str, x: F64, layer: int) -> F64:
        if block + "ffn_gate_inp.weight" in self._tensors:
            return self._experts(block, x)
        up = self._linear(block + "ffn_up", x)
        if block + "ffn_gate.weight" in self._tensors:
            hidden = self._activated(self._linear(block + "ffn_gate", x)) * up
        elif up.shape[1] == 2 * self.weight(block + "ffn_down.weight").shape[1]:
            gate, up = np.split(up, 2, axis=1)  # both are one tensor
            hidden = self._activated(gate) * up
        elif self.xielu:  # arXiv:2411.13010; alphas are stored before their softplus
            alpha_p, alpha_n, beta, eps = (values[layer] for values in self.xielu)
            above = np.log1p(np.exp(alpha_p)) * up * up
            below = (beta + np.log1p(np.exp(alpha_n))) * (np.expm1(np.minimum(up, eps)) - up)
            hidden = beta * up + np.where(up > 0, above, below)
        else:
            hidden = self._activated(up)
        return self._linear(block + "ffn_down", hidden)

    def _activated(self, x: F64) -> F64:
        if self.architecture.startswith("nemotron"):
            return np.square(np.maximum(x, 0))
        if self.architecture.startswith(("gemma", "starcoder")):  # GELU's tanh form
            return x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
        out: F64 = x / (1 + np.exp(-x))
        return out


def _capped(x: F64, cap: float) -> F64:
    return cap * np.tanh(x / cap) if cap else x


class ReferenceGemma4(ReferenceModel):
    """Gemma 4: heads and networks by layer, keys of other layers, embeddings of each layer."""

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
        if "per_layer_token_embd.weight" not in self._tensors:
            return
        norm = self.weight("per_layer_proj_norm.weight")
        rows = self.weight("per_layer_token_embd.weight")[ids].reshape(len(ids), -1, len(norm))
        made = (self._linear("per_layer_model_proj", x) / self.dim**0.5).reshape(rows.shape)
        made = self._norm("per_layer_proj_norm", made)
        self._own = (made + rows * len(norm) ** 0.5) / 2**0.5

    def _attention(self, block: str, x: F64, layer: int) -> F64:
        x, n, sees_all = self._norm(block + "attn_norm", x), len(x), self.sees_all[layer]
        d = self.head_dim if sees_all else self._local_dim
        frequencies = self.frequencies if sees_all else self.local_frequencies
        assert frequencies is not None
        q = self._norm(block + "attn_q_norm", self._linear(block + "attn_q", x).reshape(n, -1, d))
        q = self._rope(q, frequencies, 1.0)
        if layer < self._n_own:
            k = self._linear(block + "attn_k", x).reshape(n, -1, d)
            v = k
            if block + "attn_v.weight" in self._tensors:
                v = self._linear(block + "attn_v", x).reshape(n, -1, d)
            v = v / np.sqrt((v * v).mean(-1, keepdims=True) + self.eps)
            k = self._rope(self._norm(block + "attn_k_norm", k), frequencies, 1.0)
            self._kept[sees_all] = k, v
        k, v = self._kept[sees_all]
        hidden = np.triu(np.full((n, n), -np.inf), 1)
        if not sees_all:
            hidden += np.tril(np.full((n, n), -np.inf), -self.window)
        out, group = np.empty_like(q), q.shape[1] // k.shape[1]
        for head in range(q.shape[1]):
            scores = q[:, head] @ k[:, head // group].T + hidden
            p = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, head] = p / p.sum(-1, keepdims=True) @ v[:, head // group]
        return self._linear(block + "attn_output", out.reshape(n, -1))

    def _network(self, block: str, x: F64, y: F64, layer: int) -> F64:
        gate, up = (self._linear(f"{block}ffn_{name}", y) for name in ("gate", "up"))
        y = self._linear(block + "ffn_down", self._activated(gate) * up)
        if block + "ffn_gate_inp.weight" not in self._tensors:
            return y
        y = self._norm(block + "post_ffw_norm_1", y)
        return y + self._norm(block + "post_ffw_norm_2", self._experts_beside(block, x))

    def _experts_beside(self, block: str, x: F64) -> F64:
        """What experts make of x, which a router sees by a norm of its own."""
        routed = x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps)
        routed = routed * self.weight(block + "ffn_gate_inp.scale") / self.dim**0.5
        logits, x = (
            self._linear(block + "ffn_gate_inp", routed),
            self._norm(block + "pre_ffw_norm_2", x),
        )
        gate, up, down = (
            self.weight(f"{block}ffn_{n}_exps.weight") for n in ("gate", "up", "down")
        )
        factors, out = self.weight(block + "ffn_down_exps.scale"), np.zeros_like(x)
        for row, logit in enumerate(logits):
            scores = np.exp(logit - logit.max())
            used = np.argsort(-scores)[: self.n_used]
            for e, weight in zip(used, scores[used] / scores[used].sum(), strict=True):
                hidden = self._activated(gate[e] @ x[row]) * (up[e] @ x[row])
                out[row] += weight * factors[e] * (down[e] @ hidden)
        return out

    def _behind_layer(self, block: str, x: F64, layer: int) -> F64:
        if self._own.size:
            y = self._activated(self._linear(block + "inp_gate", x)) * self._own[:, layer]
            x = x + self._norm(block + "post_norm", self._linear(block + "proj", y))
        return x * self.weight(block + "layer_output_scale.weight")
