"""Small random models in memory, and their forward pass in float64.

Run as a program, it prints a digest of a model's logits: tests compare processes by it.

    python small_models.py ISA CACHE_FOLDER
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from delta_twin import DeltaWeights, Rows, from_turns
from delta_twin import delta_net as delta_nets
from numpy.typing import NDArray

from halfbyte.engine.engine import Engine, Span
from halfbyte.engine.weights import Experts, Matrix, ModelWeights, n_used
from halfbyte.families.config import ExpertsConfig, ModelConfig, RopeConfig
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.mamba2_config import Mamba2
from halfbyte.families.registry import family_of
from halfbyte.families.rope import Temperature, Yarn
from halfbyte.families.short_conv_config import ShortConv
from halfbyte.families.tensors import ROPE_FREQS
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.packing import pack
from halfbyte.kernels.layouts.panels import PANEL_FORMATS
from halfbyte.kernels.pool import Pool

F64 = NDArray[np.float64]
N_CTX = 1024


@dataclass(frozen=True)
class Shape:
    """What makes one model: `format_of` a format's name or a rule from a tensor's name to it."""

    format_of: str | Callable[[str], str]
    kv_type: str
    dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    hidden_dim: int
    vocab_size: int
    n_layers: int = 2
    is_tied: bool = False
    architecture: str = "llama"
    rope_factor: float = 1
    sliding_window: int = 0
    has_divisors: bool = False
    experts: ExpertsConfig | None = None
    arithmetic: str = "int8"
    changes: dict[str, Any] = field(default_factory=dict)

    def config(self) -> ModelConfig:
        """As a file would state it."""
        config = ModelConfig(
            architecture=self.architecture, name="small", dim=self.dim, hidden_dim=self.hidden_dim,
            n_layers=self.n_layers, n_heads=self.n_heads, n_kv_heads=self.n_kv_heads,
            head_dim=self.head_dim, vocab_size=self.vocab_size, n_ctx_train=N_CTX,
            norm_eps=1e-5, rope=RopeConfig(1e4, self.rope_factor),
            sliding_window=self.sliding_window, tied=self.is_tied, experts=self.experts,
        )  # fmt: skip
        return replace(config, **self.changes)


def _every_format(name: str) -> str:
    for part, fmt in (
        ("token_embd", "Q4_1"), ("attn_q", "Q8_0"), ("attn_k", "Q4_0"), ("attn_v", "F16"),
        ("attn_output", "Q4_0"), ("ffn_gate", "BF16"), ("ffn_up", "F32"), ("ffn_down", "Q4_1"),
    ):  # fmt: skip
        if part in name:
            return fmt
    return "Q8_0"


def _experts_format(name: str) -> str:
    if "ffn_gate_inp" in name:
        return "F32"
    return "MXFP4" if "down" in name else "Q8_0"


# All that depends on positions and layers.
POSITIONS = {
    "rope": RopeConfig(1e4, 4.0, n_features=16, yarn=Yarn(64, 1.2)),
    "local_rope": RopeConfig(1e3, n_features=20),
    "sliding_window": 50,
    "sliding_layers": (True, False, True),
    "rope_layers": (True, True, False),
    "attention_scale": 0.25,
    "temperature": Temperature(0.2, 40),
}


def _latents(latent: LatentConfig) -> dict[str, Any]:
    rope = RopeConfig(1e4, 4.0, n_features=latent.rope_dim, yarn=Yarn(64, 1.0))
    return {"latent": latent, "rope": rope, "attention_scale": latent.attention_scale(4.0)}


# Multi-query, grouped and full attention; rows that fill no tile and rows that do; tied and not.
SHAPES = {
    "F32": Shape("F32", "f32", 48, 3, 1, 16, 100, 70),
    "F16": Shape("F16", "f32", 96, 4, 2, 24, 80, 64),
    "BF16": Shape("BF16", "f32", 72, 4, 4, 18, 52, 45, is_tied=True),
    "Q8_0": Shape("Q8_0", "f16", 128, 4, 2, 32, 160, 333),
    "Q4_0": Shape("Q4_0", "f16", 128, 8, 8, 16, 192, 333, is_tied=True),
    "Q4_1": Shape("Q4_1", "f32", 192, 3, 1, 64, 96, 257),
    "F32-f16-cache": Shape("F32", "f16", 80, 2, 1, 40, 33, 97),
    "mix": Shape(_every_format, "f16", 128, 4, 2, 32, 224, 301),
    "mix-bf16": Shape(_every_format, "f32", 128, 4, 2, 32, 224, 301, arithmetic="bf16"),
    # Rows of floats that are no multiple of a block, all of them rounded.
    "F16-bf16": Shape("F16", "f32", 72, 4, 2, 24, 80, 64, arithmetic="bf16"),
    # Biases of q, k and v and a group that is no power of two; a window; both scalings of RoPE.
    "Qwen2": Shape("F32", "f32", 112, 7, 1, 16, 96, 150, architecture="qwen2"),
    "Qwen3": Shape("F32", "f32", 96, 4, 2, 24, 80, 64, architecture="qwen3"),
    "window": Shape("Q4_0", "f16", 96, 4, 2, 24, 96, 150, sliding_window=50, rope_factor=4),
    "int8": Shape("F32", "int8", 96, 3, 1, 32, 64, 99),
    "int4": Shape("F32", "int4", 96, 4, 2, 48, 80, 64, sliding_window=50),
    "Llama3": Shape("F32", "f32", 96, 3, 1, 16, 64, 99, has_divisors=True),
    # Biases everywhere; LayerNorm and a plain network; GeGLU; factors; norms behind what they norm.
    "biases": Shape(
        "Q4_1",
        "f16",
        96,
        4,
        2,
        24,
        96,
        150,
        changes={"qkv_bias": True, "out_bias": True, "mlp_bias": True},
    ),
    "StarCoder2": Shape("F32", "f32", 72, 4, 2, 24, 100, 70, architecture="starcoder2"),
    "Gemma": Shape("Q8_0", "f16", 96, 2, 1, 32, 160, 150, is_tied=True, architecture="gemma"),
    "Granite": Shape(
        "F32",
        "f32",
        80,
        4,
        2,
        24,
        52,
        70,
        architecture="granite",
        changes={
            "embedding_scale": 2.0,
            "residual_scale": 0.4,
            "attention_scale": 0.3,
            "logit_scale": 3.0,
            "attn_softcap": 2.0,
            "final_softcap": 1.5,
        },
    ),
    "OLMo2": Shape("F32", "f32", 100, 3, 1, 16, 52, 70, architecture="olmo2"),
    # Layers with fewer heads, gates of what attention gives.
    "Laguna": Shape(
        "F32", "f32", 72, 7, 1, 16, 52, 70, architecture="laguna",
        changes={"layer_heads": (3, 7), "gate_dim": 16, "sliding_window": 50,
                 "sliding_layers": (False, True), "local_rope": RopeConfig(1e3, n_features=8)},
    ),
    # With fused matrices, whose parts fill no tile.
    "positions": Shape(
        "F32", "f32", 96, 4, 2, 24, 50, 99, n_layers=3, architecture="phi3", changes=POSITIONS
    ),
    # Experts: of floats; quantized, with one router that prefers the first of them.
    "Qwen3MoE": Shape("F32", "f32", 64, 2, 1, 24, 48, 64, architecture="qwen3moe",
                      experts=ExpertsConfig(6, 2, 40)),
    # Compressed keys, and experts of all kinds.
    "DeepSeek": Shape(_experts_format, "f32", 64, 4, 1, 48, 96, 150, architecture="deepseek2",
                      experts=ExpertsConfig(8, 3, 64, 1, 64, 1, "sigmoid", scale=2.5, n_groups=2,
                                            n_groups_used=1),
                      changes=_latents(LatentConfig(0, 32, 32, 16, 32))),
    "experts": Shape(_experts_format, "f16", 96, 4, 2, 24, 96, 150, architecture="qwen3moe",
                     experts=ExpertsConfig(9, 3, 96, gating="sigmoid", scale=1.5, n_groups=3,
                                           n_groups_used=2)),
    "DeepSeek-bf16": Shape(_experts_format, "f32", 64, 4, 1, 48, 96, 150, architecture="deepseek2",
                           experts=ExpertsConfig(8, 3, 64, 1, 64, 1, "sigmoid", scale=2.5),
                           changes=_latents(LatentConfig(0, 32, 32, 16, 32)), arithmetic="bf16"),
    "gpt-oss": Shape("F32", "f32", 96, 4, 2, 24, 96, 150, architecture="gpt-oss",
                     sliding_window=50, experts=ExpertsConfig(9, 3, 96, gating="softmax_of_used"),
                     changes={"sliding_layers": (True, False)}),
    # Gated delta nets, in both orders of value heads, with experts and without.
    "Qwen3Next": Shape("F32", "f32", 64, 4, 2, 24, 48, 64, n_layers=3, architecture="qwen3next",
                       experts=ExpertsConfig(6, 2, 40, shared_dim=36),
                       changes={"recurrent": DeltaNet(2, 4, 32, 48, 4),
                                "recurrent_layers": (True, False, True),
                                "rope": RopeConfig(1e4, n_features=8)}),
    "Qwen35": Shape(_every_format, "f16", 96, 4, 2, 32, 96, 150, n_layers=3,
                    architecture="qwen35",
                    changes={"recurrent": DeltaNet(2, 6, 32, 32, 3, is_tiled=True),
                             "recurrent_layers": (False, True, True)}),
    # Recurrent layers: first, last and in a row; features that fill no vector.
    "LFM2": Shape("F32", "f32", 72, 4, 2, 24, 80, 64, n_layers=3, architecture="lfm2",
                  changes={"recurrent": ShortConv(72, 3),
                           "recurrent_layers": (True, False, True)}),
    "LFM2MoE": Shape(_experts_format, "f16", 96, 4, 2, 24, 96, 150, n_layers=4,
                     architecture="lfm2moe",
                     experts=ExpertsConfig(9, 3, 96, n_dense_layers=1, gating="sigmoid"),
                     changes={"recurrent": ShortConv(96, 4, bias=True),
                              "recurrent_layers": (False, True, True, False)}),
    # Heads that fill no vector, in groups; limits of steps in time; layers of one kind each.
    "Granite4": Shape("F32", "f32", 72, 4, 2, 24, 52, 64, n_layers=3, architecture="granitehybrid",
                      changes={"recurrent": Mamba2(9, 20, 12, 3, 4, (0.4, 1.5)),
                               "recurrent_layers": (True, False, True), "residual_scale": 0.5,
                               "rope_layers": (False,) * 3}),
    "Nemotron": Shape(_experts_format, "f16", 96, 4, 2, 24, 96, 150, n_layers=5,
                      architecture="nemotron_h_moe",
                      experts=ExpertsConfig(9, 3, 96, 1, 64, gating="sigmoid", dense_layers=(4,)),
                      changes={"recurrent": Mamba2(4, 72, 32, 1, 3),
                               "recurrent_layers": (True, False, False, True, False),
                               "attention_layers": (False, False, True, False, False),
                               "network_layers": (False, True, False, False, True),
                               "rope_layers": (False,) * 5}),
}  # fmt: skip

# Compressed keys, of which nothing fills a tile.
LATENTS = Shape(
    "F32",
    "f16",
    72,
    4,
    1,
    48,
    50,
    70,
    architecture="deepseek2",
    changes=_latents(LatentConfig(40, 32, 24, 16, 20, 1.0)),
)


@dataclass
class Model:
    """A model's configuration, its packed weights and what they stand for."""

    shape: Shape
    config: ModelConfig
    weights: ModelWeights
    exact: dict[str, NDArray[np.float32]]

    def engine(self, pool: Pool) -> Engine:
        """An engine of its own; the weights are shared."""
        own = Pool(pool.n_threads)  # which stops when the engine is dropped
        return Engine(self.config, self.weights, own, self.shape.kv_type, N_CTX)

    def tokens(self, n: int, seed: int = 0) -> list[int]:
        """Random token ids."""
        return np.random.default_rng(seed).integers(0, self.shape.vocab_size, n).tolist()


def build(shape: Shape, pool: Pool, seed: int = 1) -> Model:
    """Random weights that keep activations at size 1."""
    rng = np.random.default_rng(seed)
    config, arithmetic = shape.config(), shape.arithmetic
    weights = ModelWeights(np.empty(0, np.uint8), arithmetic=arithmetic)
    arrays, exact = [], {}
    if shape.has_divisors:
        weights.rope_factors[ROPE_FREQS] = np.geomspace(1, 8, config.head_dim // 2)
    taps = {spec.name for spec in family_of(config).tensors(config) if spec.is_taps}
    for name, dims in _in_memory(config):
        if name == ROPE_FREQS:
            continue
        if name in taps:
            exact[name] = rng.standard_normal(dims).astype(np.float32)
            row = np.zeros((dims[1], padded(dims[0])), np.float32)
            row[:, : dims[0]] = exact[name].T
            weights.vectors[name] = row.ctypes.data
            arrays.append(row)
            continue
        if len(dims) == 1 or name.endswith(".bias"):
            exact[name] = (1 + 0.1 * rng.standard_normal(dims)).astype(np.float32)
            if name.endswith("ssm_a"):  # by which states decay
                exact[name] *= np.float32(-0.1)
            row = np.zeros((*dims[:-1], padded(dims[-1])), np.float32)
            row[..., : dims[-1]] = exact[name]
            weights.vectors[name] = row.ctypes.data
            arrays.append(row)
            continue
        format_of = shape.format_of
        fmt = PANEL_FORMATS[format_of if isinstance(format_of, str) else format_of(name)]
        kind = gguf.GGMLQuantizationType[fmt.name]
        *n, n_rows, n_inputs = dims
        w = (rng.standard_normal(dims) / np.sqrt(n_inputs)).astype(np.float32)
        rows = gguf.quants.quantize(w, kind).view(np.uint8).reshape(*n, n_rows, -1)
        exact[name] = gguf.quants.dequantize(rows, kind).astype(np.float32).reshape(dims)
        packed = np.empty((*(n or [1]), fmt.nbytes(n_rows, n_inputs)), np.uint8)
        for out, matrix in zip(packed, rows if n else [rows], strict=True):
            pack(pool, matrix, fmt, n_inputs, out)
        first = Matrix(fmt, n_rows, n_inputs, packed.ctypes.data, arithmetic=arithmetic)
        if n:
            weights.experts[name] = Experts(first, *n, n_used(config, name))
        else:
            weights.matrices[name] = first
        arrays.append(packed)
    weights.test_arrays = arrays  # keeps them alive
    return Model(shape, config, weights, exact)


def _in_memory(config: ModelConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a model's tensors; of fused ones those of their parts."""
    for spec in family_of(config).tensors(config):
        for name, n_rows in spec.parts or ((spec.name, spec.shape[0]),):
            yield name, (n_rows, *spec.shape[1:])


def run(
    engine: Engine,
    tokens: Sequence[int],
    chunks: Sequence[int],
    sequence: object = None,
    *,
    guessed: bool = False,
) -> NDArray[np.float32]:
    """Logits (T, V) of tokens that are given chunk by chunk to a new sequence, or to one's end.

    Where they are guessed, it can be cut back to anywhere in the last chunk.
    """
    assert sum(chunks) == len(tokens)
    sequence = sequence or engine.new_sequence()
    out, at = [], 0
    for n in chunks:
        part = tokens[at : at + n]
        out.append(engine.forward([Span(sequence, part, n, n_guessed=n * guessed)]))
        at += n
    return np.concatenate(out)


@dataclass
class Reference:
    """A forward pass in float64: the residual stream (T, dim) from the embedding on, each layer's
    attention weights (n_heads, T, T), and the logits (T, V).
    """

    states: list[F64]
    attentions: list[F64]
    normed: F64
    logits: F64


def reference_logits(model: Model, tokens: Sequence[int], *, rounds: bool = False) -> F64:
    """The logits of `reference`."""
    return reference(model, tokens, rounds=rounds).logits


def reference(model: Model, tokens: Sequence[int], *, rounds: bool = False) -> Reference:
    """The same model in float64 without a cache.

    With `rounds`, numbers are rounded where halfbyte says that it rounds more than floats do:
    inputs of matrices that take records (activations.py), weights in bf16, keys and values as the
    cache keeps them.
    """
    c = model.config
    n, d = len(tokens), c.head_dim
    w = {name: value.astype(np.float64) for name, value in model.exact.items()}
    back = np.arange(n)[:, None] - np.arange(n)
    scale = c.dim**0.5 if c.architecture == "gemma" else c.embedding_scale
    x = w["token_embd.weight"][tokens] * scale

    def norm(x: F64, name: str, eps: float = c.norm_eps) -> F64:
        """The norm of that name, if there is one."""
        if name + ".weight" not in w:
            return x
        bias = w.get(name + ".bias")
        if bias is not None:  # LayerNorm
            x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w[name + ".weight"]
        return x if bias is None else x + bias

    def capped(x: F64, cap: float) -> F64:
        return cap * np.tanh(x / cap) if cap else x

    def activated(x: F64) -> F64:
        if c.architecture.startswith("nemotron"):
            return np.square(np.maximum(x, 0))
        if c.architecture in ("gemma", "starcoder2"):
            return x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
        return x / (1 + np.exp(-x))

    def product(x: F64, name: str) -> F64:
        x, own = _met(model.weights.matrices[name], x, w[name], rounds)
        y = x @ own.T
        return y + w.get(name.replace("weight", "bias"), 0)

    def rope(x: F64, layer: int) -> F64:
        one = c.rope_of(layer)
        if one is None:
            return x
        factors = model.weights.rope_factors if one is c.rope else {}
        angles = np.arange(n)[:, None] * one.frequencies(d, N_CTX, factors)
        turns, r = np.exp(1j * angles)[:, None] * one.attention_factor, one.n_features or d
        turned = (x[..., 0:r:2] + 1j * x[..., 1:r:2]) * turns
        rotated = np.stack([turned.real, turned.imag], -1).reshape(*x.shape[:2], r)
        return np.concatenate([rotated, x[..., r:]], -1)

    def kept(x: F64, what: str) -> F64:
        return kept_as(x, what, model.shape.kv_type) if rounds else x

    def shared(x: F64, layer: int) -> F64:
        return x.repeat(c.heads_of(layer) // c.n_kv_heads, axis=1)

    def by_heads(x: F64, name: str) -> F64:
        """Heads (n, heads, inputs), each times its own matrix."""
        x, own = _met(model.weights.experts[name].first, x, w[name], rounds)
        return np.einsum("thi,hri->thr", x, own)

    def latent_qkv(h: F64, at: str, i: int) -> tuple[F64, F64, F64]:
        """Queries of all heads; the keys and values of the one that they share."""
        m = c.latent
        kv = product(h, at + "attn_kv_a_mqa.weight")
        if m.q_lora_rank:
            h = norm(product(h, at + "attn_q_a.weight"), at + "attn_q_a_norm", 1e-6)
        q = product(h, at + ("attn_q_b.weight" if m.q_lora_rank else "attn_q.weight"))
        q = q.reshape(n, c.n_heads, -1)
        first = by_heads(q[..., : m.nope_dim], at + "attn_k_b.weight")
        latents = norm(kv[:, : m.kv_lora_rank], at + "attn_kv_a_norm", 1e-6)[:, None]
        key = np.concatenate([latents, rope(kv[:, None, m.kv_lora_rank :], i)], -1)
        q = np.concatenate([first, rope(q[..., m.nope_dim :], i)], -1)
        key = shared(kept(key, "k"), i)
        return q, key, key[..., : m.kv_lora_rank]

    def network(x: F64, i: int, before: str) -> F64:
        """What a layer's experts or feed-forward network add, behind that norm."""
        at = f"blk.{i}."
        h = norm(x, at + before)
        if c.has_experts(i):
            y = _experts(model, at, h, rounds)
            if at + "ffn_gate_shexp.weight" in w:
                gate, up = (product(h, f"{at}ffn_{k}_shexp.weight") for k in ("gate", "up"))
                shared = product(activated(gate) * up, at + "ffn_down_shexp.weight")
                if at + "ffn_gate_inp_shexp.weight" in w:
                    own = product(h, at + "ffn_gate_inp_shexp.weight")
                    shared = shared / (1 + np.exp(-own))
                y = y + shared
            elif c.experts.shared_dim:
                up = activated(product(h, at + "ffn_up_shexp.weight"))
                y = y + product(up, at + "ffn_down_shexp.weight")
            return y
        up = product(h, at + "ffn_up.weight")
        if at + "ffn_gate.weight" in w:
            up = activated(product(h, at + "ffn_gate.weight")) * up
        else:
            up = activated(up)
        return norm(product(up, at + "ffn_down.weight"), at + "post_ffw_norm")

    def convolution(h: F64, at: str) -> F64:
        """LFM2's, feature by feature: zeros lie before the first row."""
        b, gate, u = np.split(product(h, at + "shortconv.in_proj.weight"), 3, axis=1)
        taps = w[at + "shortconv.conv.weight"]
        made = np.stack([np.convolve(b[:, i] * u[:, i], taps[i, ::-1])[:n] for i in range(c.dim)])
        made = made.T + w.get(at + "shortconv.conv.bias", 0)
        return product(gate * made, at + "shortconv.out_proj.weight")

    def mamba(h: F64, at: str) -> F64:
        """Mamba-2, token by token."""
        m = c.recurrent
        z, u, dt = np.split(product(h, at + "ssm_in.weight"), [m.output_dim, -m.n_heads], axis=1)
        taps = w[at + "ssm_conv1d.weight"]
        u = np.stack([np.convolve(u[:, i], taps[i, ::-1])[:n] for i in range(m.conv_width)], 1)
        u = u + w[at + "ssm_conv1d.bias"]
        u = u / (1 + np.exp(-u))
        u, b, k = np.split(u, [m.output_dim, m.output_dim + m.n_groups * m.n_state], axis=1)
        b, k = (y.reshape(n, m.n_groups, -1).repeat(m.n_heads // m.n_groups, 1) for y in (b, k))
        u = u.reshape(n, m.n_heads, m.head_dim)
        dt = np.clip(np.log1p(np.exp(dt + w[at + "ssm_dt.bias"])), *m.dt_limits)
        state, out = np.zeros((m.n_heads, m.head_dim, m.n_state)), np.empty_like(u)
        for t in range(n):
            state = state * np.exp(dt[t] * w[at + "ssm_a"])[:, None, None]
            state = state + dt[t][:, None, None] * u[t][:, :, None] * b[t][:, None]
            out[t] = np.einsum("hpn,hn->hp", state, k[t]) + w[at + "ssm_d"][:, None] * u[t]
        y = (out.reshape(n, -1) * z / (1 + np.exp(-z))).reshape(n, m.n_groups, -1)
        y = y / np.sqrt((y * y).mean(-1, keepdims=True) + c.norm_eps)
        return product(y.reshape(n, -1) * w[at + "ssm_norm.weight"], at + "ssm_out.weight")

    def delta_net(h: F64, at: str) -> F64:
        """Qwen3-Next's, token by token."""
        d, names = c.recurrent, ("attn_qkv", "ssm_beta", "ssm_alpha", "attn_gate")
        if not d.is_tiled:
            names = ("attn_qkv", "ssm_ba", "attn_gate")
        qkv, *gates, z = (product(h, f"{at}{name}.weight") for name in names)
        weights = DeltaWeights(
            w[at + "ssm_conv1d.weight"],
            w[at + "ssm_a"],
            w[at + "ssm_dt.bias"],
            w[at + "ssm_norm.weight"],
            c.norm_eps,
        )
        b, a = gates if d.is_tiled else from_turns(d, gates[0])
        made = delta_nets(d, weights, Rows(qkv, b, a, z))
        return product(made, at + "ssm_out.weight")

    def mixing(h: F64, at: str) -> F64:
        """What a recurrent layer makes of it."""
        if isinstance(c.recurrent, DeltaNet):
            return delta_net(h, at)
        return (mamba if isinstance(c.recurrent, Mamba2) else convolution)(h, at)

    states, attentions = [x], []
    for i in range(c.n_layers):
        at = f"blk.{i}."
        h = norm(x, at + "attn_norm")
        if not c.has_attention(i):
            if c.is_recurrent(i):
                x = x + mixing(h, at) * c.residual_scale
            attentions.append(np.zeros((c.n_heads, n, n)))
            if c.has_network(i):
                names = ("ffn_norm", "post_attention_norm", "attn_norm")
                before = next(name for name in names if f"{at}{name}.weight" in w)
                x = x + network(x, i, before) * c.residual_scale
            states.append(x)
            continue
        if c.latent:
            q, k, v = latent_qkv(h, at, i)
        else:
            q, k, v = (product(h, f"{at}attn_{name}.weight") for name in "qkv")
            if c.architecture == "olmo2":  # norms of all heads together
                q, k = norm(q, at + "attn_q_norm"), norm(k, at + "attn_k_norm")
            q, k, v = (y.reshape(n, -1, d) for y in (q, k, v))
            if c.architecture != "olmo2":
                q, k = norm(q, at + "attn_q_norm"), norm(k, at + "attn_k_norm")
            q, k, v = rope(q, i), shared(kept(rope(k, i), "k"), i), shared(kept(v, "v"), i)
        if c.temperature:
            position = np.arange(n)[:, None, None]
            q = q * (1 + c.temperature.scale * np.log(1 + position // c.temperature.n_ctx))
        scores = np.einsum("thd,shd->hts", kept(q, "q"), k) * (c.attention_scale or d**-0.5)
        scores = capped(scores, c.attn_softcap)
        scores = np.where((back < 0) | (back >= (c.window(i) or n)), -np.inf, scores)
        sinks = w.get(at + "attn_sinks.weight", np.full(len(scores), -np.inf))[:, None, None]
        top = np.maximum(scores.max(-1, keepdims=True), sinks)
        weights = np.exp(scores - top)
        weights /= weights.sum(-1, keepdims=True) + np.exp(sinks - top)
        attentions.append(np.pad(weights, ((0, c.n_heads - len(weights)), (0, 0), (0, 0))))
        mixed = np.einsum("hts,shd->thd", weights, v)
        if c.latent:
            mixed = by_heads(mixed, at + "attn_v_b.weight")
        mixed = mixed.reshape(n, -1)
        if c.gate_dim:
            gates = np.log1p(np.exp(product(h, at + "attn_gate.weight")))
            mixed = mixed * gates.repeat(c.gate_dim, axis=1)
        if at + "attn_q_gate.weight" in w:
            mixed = mixed / (1 + np.exp(-product(h, at + "attn_q_gate.weight")))
        y, norms = product(mixed, at + "attn_output.weight"), ["post_attention_norm", "ffn_norm"]
        if c.architecture in ("gpt-oss", "qwen3next", "qwen35"):  # whose only one is no ffn_norm
            norms.reverse()
        x = x + norm(y, at + norms[0]) * c.residual_scale
        if c.has_network(i):
            x = x + network(x, i, norms[1]) * c.residual_scale
        states.append(x)
    is_tied = "output.weight" not in w
    name = "token_embd.weight" if is_tied else "output.weight"
    last = "token_embd_norm" if "token_embd_norm.weight" in w else "output_norm"
    normed = norm(x, last)
    logits = capped(product(normed, name) / c.logit_scale, c.final_softcap)
    return Reference(states, attentions, normed, logits)


def _experts(model: Model, at: str, h: F64, rounds: bool) -> F64:
    """What the experts of a layer add."""
    e = model.config.experts
    w = {k: model.exact[f"{at}ffn_{k}.weight"].astype(np.float64)
         for k in ("gate_inp", "gate_exps", "up_exps", "down_exps")
         if f"{at}ffn_{k}.weight" in model.exact}  # fmt: skip
    for k in ("gate_exps", "up_exps", "down_exps"):
        if k in w:
            first = model.weights.experts[f"{at}ffn_{k}.weight"].first
            w[k] = _met(first, h[:1], w[k], rounds)[1]
    up_exps = model.weights.experts[f"{at}ffn_up_exps.weight"].first
    logits = h @ w["gate_inp"].T + model.exact.get(f"{at}ffn_gate_inp.bias", 0)
    biases = [model.exact.get(f"{at}ffn_{k}_exps.bias", np.zeros(e.n_experts))
              for k in ("gate", "up", "down")]  # fmt: skip
    if e.gating == "sigmoid":
        scores = 1 / (1 + np.exp(-logits))
    else:
        scores = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    out, bias = np.zeros_like(h), model.exact.get(f"{at}exp_probs_b.bias", 0)
    for row, score in enumerate(scores):
        biased = score + bias
        groups = np.sort(biased.reshape(e.n_groups, -1), -1)[:, -2:].sum(-1)
        kept = np.isin(np.arange(e.n_groups), np.argsort(-groups)[: e.n_groups_used])
        wanted = np.where(np.repeat(kept, e.n_experts // e.n_groups), biased, -np.inf)
        used = np.argsort(-wanted, kind="stable")[: e.n_used]
        x = _met(up_exps, h[row : row + 1], w["up_exps"], rounds)[0]
        for i in used:
            gate = x @ w.get("gate_exps", w["up_exps"])[i].T + biases[0][i]
            up = x @ w["up_exps"][i].T + biases[1][i]
            hidden = gate / (1 + np.exp(-gate)) * up
            if "gate_exps" not in w:
                hidden = np.square(np.maximum(up, 0))
            if model.config.architecture == "gpt-oss":
                gate, up = np.minimum(gate, 7), np.clip(up, -7, 7)
                hidden = gate / (1 + np.exp(-1.702 * gate)) * (up + 1)
            hidden = _met(up_exps, hidden, w["up_exps"], rounds)[0]
            y = (hidden @ w["down_exps"][i].T + biases[2][i])[0]
            out[row] += e.scale * score[i] / score[used].sum() * y
    return out


def _met(matrix: Matrix, x: F64, w: F64, rounds: bool) -> tuple[F64, F64]:
    """Activations and weights as a product has them."""
    if not rounds or not matrix.record_nbytes:
        return x, w
    return (_as_int8(x), w) if matrix.arithmetic == "int8" else (_as_bf16(x), _as_bf16(w))


def _as_bf16(x: F64) -> F64:
    """To 8 bits."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(mantissa * 256), exponent - 8)


def _as_int8(x: F64) -> F64:
    blocks = x.reshape(len(x), -1, 32)
    step = np.abs(blocks).max(-1, keepdims=True) / 127
    return (np.rint(blocks / step) * step).reshape(x.shape)


def kept_as(x: F64, what: str, kv_type: str) -> F64:
    """Queries, keys or values of heads (..., d) as attention with that type of cache has them."""
    if kv_type == "f16" and what != "q":
        return x.astype(np.float16).astype(np.float64)
    if kv_type in ("f16", "f32"):
        return x
    bits = {"k": 6, "v": 4}.get(what, 8) if kv_type == "int4" else 8
    d = x.shape[-1]
    h = np.ones((1, 1))
    while d % (2 * len(h)) == 0:
        h = np.kron(h, [[1, 1], [1, -1]])
    blocks = x.reshape(*x.shape[:-1], -1, len(h)) @ h / np.sqrt(len(h))
    turned = blocks.reshape(x.shape)
    steps = 127 if bits == 8 else 2**bits - 1
    scale = np.abs(turned).max(-1, keepdims=True) / steps
    if what != "q":
        scale = scale.astype(np.float16).astype(np.float64)
    if bits == 8:
        turned = np.clip(np.rint(turned / scale), -127, 127) * scale
    else:
        codes = np.clip(np.rint(turned / scale / 2 + steps / 2), 0, steps)
        turned = (2 * codes - steps) * scale
    return (turned.reshape(blocks.shape) @ h / np.sqrt(len(h))).reshape(x.shape)


def main(isa: str, cache: str) -> None:
    """Print a digest per model, each of a prompt in two chunks and some single tokens."""
    from halfbyte.kernels.compiler import jit, target

    target.force(isa)
    jit.set_cache_root(Path(cache))
    names = ("mix", "F32", "Qwen2", "window", "experts", "int8", "int4", "positions", "Granite",
             "DeepSeek", "Granite4", "LFM2", "mix-bf16")  # fmt: skip
    for name in names:
        pool = Pool(2)
        model = build(SHAPES[name], pool)
        logits = run(model.engine(pool), model.tokens(180), [130, 40, *[1] * 10])
        pool.close()
        print(name, logits.shape, hashlib.sha256(np.ascontiguousarray(logits)).hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
