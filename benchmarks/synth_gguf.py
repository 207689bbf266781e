"""Write a GGUF file of a given shape with random weights, to measure speed with.

    python benchmarks/synth_gguf.py 7b q4_0 FILE.gguf

The weights are Gaussian noise, quantized by the `gguf` package or, where that cannot, by halfbyte,
of a size that keeps activations sane: the model runs at its real speed and writes rubbish. The
vocabulary is invented (words of made-up syllables), so nobody's tokenizer is in the file. Tensors
are written one at a time. A 7b q4_0 file has 3.8 GB.
"""

from __future__ import annotations

import argparse
import enum
import itertools
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf import TokenType
from numpy.typing import NDArray


class Young(enum.IntEnum):
    """Types that the package does not know yet."""

    Q2_0 = 42


gguf.GGML_QUANT_SIZES[Young.Q2_0] = (64, 18)  # weights and bytes of a block; its writer asks too
TYPES: dict[str, Type | Young] = {
    "f16": Type.F16, "q8_0": Type.Q8_0, "q4_0": Type.Q4_0, "q4_1": Type.Q4_1, "q4_k": Type.Q4_K,
    "q6_k": Type.Q6_K, "iq4_nl": Type.IQ4_NL, "iq4_xs": Type.IQ4_XS, "tq2_0": Type.TQ2_0,
    "q2_0": Young.Q2_0, "mxfp4": Type.MXFP4,
}  # fmt: skip
N_VOCAB = 32016  # Code Llama's, which no power of two divides beyond 16
N_CTX = 16384
N_SAMPLES = 1 << 16  # distinct random blocks that a file is made of; fewer where they are large


class Local(NamedTuple):
    """Heads of Gemma 4's layers with a window: of each, and KV heads; every so many have none."""

    head_dim: int
    n_kv_heads: int
    every: int


class Latent(NamedTuple):
    """Compressed keys and values: features of what they and queries are made of, and of heads."""

    q_rank: int
    rank: int
    nope: int
    rope: int
    value: int


class Net(NamedTuple):
    """Gated delta nets, in all but every fourth layer: heads, and features of each."""

    n_keys: int
    n_values: int
    dim: int

    @property
    def channels(self) -> int:
        """Features of queries, keys and values together."""
        return (2 * self.n_keys + self.n_values) * self.dim


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides a Llama model's speed."""

    n_layers: int
    dim: int
    hidden_dim: int
    n_heads: int
    n_kv_heads: int
    head_dim: int = 0  # 0: dim / n_heads
    n_experts: int = 0
    n_used: int = 0
    architecture: str = "llama"  # GGUF's name of a family that has such models
    latent: Latent | None = None
    local: Local | None = None
    n_vocab: int = N_VOCAB
    n_next: int = 0  # layers behind the others that guess a token further ahead, in 8 bits
    convolutions: str = ""  # c for each layer that is LFM2's short convolution, a for the others
    dense_dim: int = 0  # hidden_dim of a first layer that has a network in place of experts
    net: Net | None = None

    def is_recurrent(self, i: int) -> bool:
        """Whether a layer is a gated delta net."""
        return self.net is not None and (i + 1) % 4 != 0


SHAPES = {
    "7b": Shape(32, 4096, 11008, 32, 32),
    "1b": Shape(22, 2048, 5632, 32, 4),
    "160m": Shape(12, 768, 2048, 12, 12),
    # Qwen3-30B-A3B, 8 of its 48 layers.
    "qwen3moe": Shape(8, 2048, 768, 32, 4, head_dim=128, n_experts=128, n_used=8,
                      architecture="qwen3moe"),
    # gpt-oss-20b, 8 of its 24 layers.
    "gptoss": Shape(8, 2880, 2880, 64, 8, head_dim=64, n_experts=32, n_used=4,
                    architecture="gpt-oss"),
    # GLM-4.7-Flash, 4 of its 47 layers.
    "glm-flash": Shape(4, 2048, 1536, 20, 1, 576, 64, 4, architecture="deepseek2",
                       latent=Latent(768, 512, 192, 64, 256)),
    # Gemma 4 12B, 12 of its 48 layers; Gemma 3 4B, Qwen3 4B and StarCoder2 3B, half of theirs.
    "gemma4": Shape(12, 3840, 15360, 16, 1, head_dim=512, architecture="gemma4",
                    local=Local(256, 8, 6)),
    "gemma3": Shape(17, 2560, 10240, 8, 4, head_dim=256, architecture="gemma3"),
    "qwen3": Shape(18, 2560, 9728, 32, 8, head_dim=128, architecture="qwen3"),
    "starcoder2": Shape(15, 3072, 12288, 24, 2, head_dim=128, architecture="starcoder2"),
    # The same with 8 layers, all of its vocabulary and its layer that guesses.
    "glm-next": Shape(8, 2048, 1536, 20, 1, 576, 64, 4, architecture="deepseek2",
                      latent=Latent(768, 512, 192, 64, 256), n_vocab=154880, n_next=1),
    # LFM2-1.2B; LFM2-8B-A1B, 8 of its 24 layers.
    "lfm2": Shape(16, 2048, 8192, 32, 8, 64, architecture="lfm2", convolutions="ccaccaccacacacac"),
    "lfm2moe": Shape(8, 2048, 1792, 32, 8, 64, 32, 4, architecture="lfm2moe",
                     convolutions="ccacccac", dense_dim=7168),
    # Qwen3.5-35B-A3B, 8 of its 40 layers.
    "qwen35moe": Shape(8, 2048, 512, 16, 2, 256, 256, 8, architecture="qwen35moe",
                       net=Net(16, 32, 128)),
    # Qwen3.5-4B, 16 of its 32 layers, and 4: a conversation with that takes a minute.
    "qwen35": Shape(16, 2560, 9216, 16, 4, 256, architecture="qwen35", net=Net(16, 32, 128)),
    "qwen35-cut": Shape(4, 2560, 9216, 16, 4, 256, architecture="qwen35", net=Net(16, 32, 128)),
}  # fmt: skip


def matrices(shape: Shape) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each matrix, in the file's order."""
    dim = shape.dim
    yield "token_embd.weight", (shape.n_vocab, dim)
    for i in range(shape.n_layers + shape.n_next):
        n, end, hidden = (shape.n_experts,), "_exps", shape.hidden_dim
        if not shape.n_experts or (shape.dense_dim and i == 0):
            n, end, hidden = (), "", shape.dense_dim or shape.hidden_dim
        if shape.latent:
            yield from _latents(shape, shape.latent, f"blk.{i}.")
        elif shape.convolutions[i : i + 1] == "c":
            yield f"blk.{i}.shortconv.in_proj.weight", (3 * dim, dim)
            yield f"blk.{i}.shortconv.out_proj.weight", (dim, dim)
        elif shape.net and shape.is_recurrent(i):
            yield from _net(shape.net, dim, f"blk.{i}.")
        else:
            yield from _attention(shape, i)
        if shape.architecture != "starcoder2":
            yield f"blk.{i}.ffn_gate{end}.weight", (*n, hidden, dim)
        yield f"blk.{i}.ffn_up{end}.weight", (*n, hidden, dim)
        yield f"blk.{i}.ffn_down{end}.weight", (*n, dim, hidden)
        if shape.net and shape.n_experts:
            yield from _shared(shape, f"blk.{i}.")
        if i >= shape.n_layers:
            yield f"blk.{i}.nextn.eh_proj.weight", (dim, 2 * dim)
    if not shape.architecture.startswith("gemma"):
        yield "output.weight", (shape.n_vocab, dim)


def is_local(shape: Shape, i: int) -> bool:
    """Whether layer i has the window and the heads of such layers."""
    return shape.local is not None and (i + 1) % shape.local.every != 0


def head_sizes(shape: Shape, i: int) -> tuple[int, int]:
    """Features of a head of layer i, and its KV heads."""
    if shape.local is not None and is_local(shape, i):
        return shape.local.head_dim, shape.local.n_kv_heads
    return shape.head_dim or shape.dim // shape.n_heads, shape.n_kv_heads


def _attention(shape: Shape, i: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Matrices of a layer's heads; values of Gemma 4's other layers are made of their keys."""
    head_dim, n_kv_heads = head_sizes(shape, i)
    q_dim, kv_dim, dim = head_dim * shape.n_heads, head_dim * n_kv_heads, shape.dim
    yield f"blk.{i}.attn_q.weight", (q_dim * (1 + (shape.net is not None)), dim)
    yield f"blk.{i}.attn_k.weight", (kv_dim, dim)
    if shape.local is None or is_local(shape, i):
        yield f"blk.{i}.attn_v.weight", (kv_dim, dim)
    yield f"blk.{i}.attn_output.weight", (dim, q_dim)


def _latents(shape: Shape, m: Latent, at: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    n, dim = shape.n_heads, shape.dim
    yield f"{at}attn_q_a.weight", (m.q_rank, dim)
    yield f"{at}attn_q_b.weight", (n * (m.nope + m.rope), m.q_rank)
    yield f"{at}attn_kv_a_mqa.weight", (m.rank + m.rope, dim)
    yield f"{at}attn_k_b.weight", (n, m.rank, m.nope)
    yield f"{at}attn_v_b.weight", (n, m.value, m.rank)
    yield f"{at}attn_output.weight", (dim, n * m.value)
    yield from _shared(shape, at)


def _shared(shape: Shape, at: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    for kind in ("gate", "up"):
        yield f"{at}ffn_{kind}_shexp.weight", (shape.hidden_dim, shape.dim)
    yield f"{at}ffn_down_shexp.weight", (shape.dim, shape.hidden_dim)


def _net(net: Net, dim: int, at: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{at}attn_qkv.weight", (net.channels, dim)
    yield f"{at}attn_gate.weight", (net.n_values * net.dim, dim)
    yield f"{at}ssm_beta.weight", (net.n_values, dim)
    yield f"{at}ssm_alpha.weight", (net.n_values, dim)
    yield f"{at}ssm_out.weight", (dim, net.n_values * net.dim)


def _kinds(shape: Shape, kind: Type) -> Iterator[tuple[str, tuple[int, ...], Type]]:
    """The matrices with types: rows that are no whole blocks, and what guesses, have 8 bits."""
    for name, dims in matrices(shape):
        guesses = name.startswith("blk.") and int(name.split(".")[1]) >= shape.n_layers
        is_whole = dims[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0
        yield name, dims, kind if is_whole and not guesses else Type.Q8_0


def floats(shape: Shape) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Norms, and who chooses experts: at random, so that all are used alike."""
    rng, ones = np.random.default_rng(0), np.ones(shape.dim, np.float32)
    for i in range(shape.n_layers + shape.n_next):
        is_oss, is_gemma = shape.architecture == "gpt-oss", shape.architecture.startswith("gemma")
        yield f"blk.{i}.attn_norm.weight", ones
        if is_gemma:
            yield f"blk.{i}.post_attention_norm.weight", ones
            yield f"blk.{i}.post_ffw_norm.weight", ones
        if shape.local:
            yield f"blk.{i}.layer_output_scale.weight", ones[:1]
        if is_gemma or shape.architecture == "qwen3":
            d, _ = head_sizes(shape, i)  # of which scores are not scaled, in Gemma 4
            size = np.float32(d**-0.25 if shape.local else 1)
            yield f"blk.{i}.attn_q_norm.weight", size * ones[:d]
            yield f"blk.{i}.attn_k_norm.weight", size * ones[:d]
        if shape.architecture == "starcoder2":
            yield from _starcoder_biases(shape, i)
        name = "post_attention_norm" if is_oss or shape.net else "ffn_norm"
        yield f"blk.{i}.{name}.weight", ones
        if is_oss:
            yield from _biases(shape, i)
        elif shape.latent:
            yield f"blk.{i}.attn_q_a_norm.weight", ones[: shape.latent.q_rank]
            yield f"blk.{i}.attn_kv_a_norm.weight", ones[: shape.latent.rank]
            yield f"blk.{i}.exp_probs_b.bias", 0 * ones[: shape.n_experts]
        elif shape.convolutions[i : i + 1] == "c":
            yield f"blk.{i}.shortconv.conv.weight", np.full((shape.dim, 3), 0.6, np.float32)
        elif shape.net and shape.is_recurrent(i):
            yield from _net_floats(shape.net, f"blk.{i}.")
        elif shape.n_experts or shape.convolutions or shape.net:
            yield f"blk.{i}.attn_q_norm.weight", ones[: shape.head_dim]
            yield f"blk.{i}.attn_k_norm.weight", ones[: shape.head_dim]
        if shape.n_experts and not (shape.dense_dim and i == 0):
            if shape.convolutions:
                yield f"blk.{i}.exp_probs_b.bias", 0 * ones[: shape.n_experts]
            router = rng.standard_normal((shape.n_experts, shape.dim), np.float32)
            yield f"blk.{i}.ffn_gate_inp.weight", router / np.float32(shape.dim**0.5)
            if shape.net:
                yield f"blk.{i}.ffn_gate_inp_shexp.weight", 0 * ones
        for name in ("enorm", "hnorm", "shared_head_norm") if i >= shape.n_layers else ():
            yield f"blk.{i}.nextn.{name}.weight", ones
    yield "token_embd_norm.weight" if shape.convolutions else "output_norm.weight", ones
    if shape.architecture == "starcoder2":
        yield "output_norm.bias", 0 * ones
    if shape.local:  # a quarter of each head is rotated
        pairs = shape.head_dim // 2
        yield (
            "rope_freqs.weight",
            np.repeat(np.float32([1, 1e30]), [pairs // 4, pairs - pairs // 4]),
        )


def _starcoder_biases(shape: Shape, i: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Biases of all projections and norms of a layer."""
    d = shape.head_dim
    for name, n in (
        ("attn_norm", shape.dim), ("ffn_norm", shape.dim), ("attn_output", shape.dim),
        ("attn_q", d * shape.n_heads), ("attn_k", d * shape.n_kv_heads),
        ("attn_v", d * shape.n_kv_heads), ("ffn_up", shape.hidden_dim), ("ffn_down", shape.dim),
    ):  # fmt: skip
        yield f"blk.{i}.{name}.bias", np.zeros(n, np.float32)


def _net_floats(net: Net, at: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """What a delta net takes beside its matrices: it forgets half within 10 to 1000 tokens."""
    yield f"{at}ssm_conv1d.weight", np.full((net.channels, 4), 0.25, np.float32)
    yield f"{at}ssm_a", -np.geomspace(0.001, 0.1, net.n_values, dtype=np.float32)
    yield f"{at}ssm_dt.bias", np.zeros(net.n_values, np.float32)
    yield f"{at}ssm_norm.weight", np.ones(net.dim, np.float32)


def _biases(shape: Shape, i: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """What a layer of gpt-oss adds, and its sinks."""
    q_dim, kv_dim, n = (
        shape.head_dim * shape.n_heads, shape.head_dim * shape.n_kv_heads, shape.n_experts
    )  # fmt: skip
    hidden, dim = shape.hidden_dim, shape.dim
    for name, dims in (
        ("attn_q", (q_dim,)), ("attn_k", (kv_dim,)), ("attn_v", (kv_dim,)), ("attn_output", (dim,)),
        ("ffn_gate_inp", (n,)), ("ffn_gate_exps", (n, hidden)), ("ffn_up_exps", (n, hidden)),
        ("ffn_down_exps", (n, dim)),
    ):  # fmt: skip
        yield f"blk.{i}.{name}.bias", np.full(dims, 0.01, np.float32)
    yield f"blk.{i}.attn_sinks.weight", np.zeros(shape.n_heads, np.float32)


def vocabulary(n: int = N_VOCAB) -> tuple[list[bytes], list[float], list[TokenType]]:
    """Pieces, scores and kinds: control tokens, every byte, then invented words."""
    syllables = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
    words = ("".join(s) for n in (1, 2, 3) for s in itertools.product(syllables, repeat=n))
    spaced = (piece for word in words for piece in (word, "\u2581" + word))
    pieces = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % i for i in range(256))]
    kinds = [TokenType.UNKNOWN, *[TokenType.CONTROL] * 2, *[TokenType.BYTE] * 256]
    scores = [0.0] * len(pieces)
    for rank, piece in enumerate(itertools.islice(spaced, n - len(pieces))):
        pieces.append(piece.encode())
        kinds.append(TokenType.NORMAL)
        scores.append(-float(rank))
    return pieces, scores, kinds


class RandomBlocks:
    """Blocks of Gaussian noise of one type; a matrix is a random choice of them."""

    def __init__(self, kind: Type | Young) -> None:
        self._rng = np.random.default_rng(0)
        self._block_size, self._block_nbytes = gguf.GGML_QUANT_SIZES[kind]
        # A block of one number is taken as 32, so that choosing costs as little as elsewhere.
        self._group = max(1, 32 // self._block_size)
        n_weights = self._group * self._block_size
        self._n = N_SAMPLES * 32 // n_weights
        noise = self._rng.standard_normal((self._n, n_weights), np.float32)
        raw = _quantize(noise * np.float32(0.02), kind)
        self._samples = raw.view(np.uint8).reshape(self._n, -1)

    def matrix(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """Bytes of a matrix, or of many: (rows, bytes of a row)."""
        n = math.prod(shape) // (self._group * self._block_size)
        chosen = self._rng.integers(0, self._n, n, np.int32)
        return self._samples[chosen].reshape(math.prod(shape[:-1]), -1)


def _quantize(x: NDArray[np.float32], kind: Type | Young) -> NDArray[np.uint8]:
    """Blocks of rows of weights. The gguf package has no quantizers for some types."""
    if not kind.name.endswith("_K") and kind not in (Type.IQ4_NL, Type.IQ4_XS, Young.Q2_0):
        return gguf.quants.quantize(x, kind).view(np.uint8)
    from halfbyte import system
    from halfbyte.kernels.formats.registry import FORMATS
    from halfbyte.kernels.quantizers.quantize import quantize

    system.set_up_kernels()
    return quantize(x, FORMATS[kind.name])


def write(shape: Shape, kind: Type | Young, path: Path) -> None:
    """Write a file. It appears under its name when it is whole."""
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, shape.architecture)
    _add_metadata(writer, shape)
    for name, dims, own in _kinds(shape, kind):
        row_shape = gguf.quant_shape_to_byte_shape(dims, own)
        nbytes = math.prod(row_shape)
        writer.add_tensor_info(name, row_shape, np.dtype(np.uint8), nbytes, raw_dtype=own)
    for name, values in floats(shape):
        writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    blocks = {own: RandomBlocks(own) for own in {own for _, _, own in _kinds(shape, kind)}}
    for _, dims, own in _kinds(shape, kind):
        writer.write_tensor_data(blocks[own].matrix(dims))
    for _, values in floats(shape):
        writer.write_tensor_data(values)
    writer.close()
    os.replace(part, path)


def _add_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.n_layers + shape.n_next)
    if shape.n_next:
        writer.add_nextn_predict_layers(shape.n_next)
    writer.add_feed_forward_length(shape.dense_dim or shape.hidden_dim)
    writer.add_head_count(shape.n_heads)
    if shape.convolutions:
        writer.add_head_count_kv([shape.n_kv_heads * (one == "a") for one in shape.convolutions])
        writer.add_shortconv_l_cache(3)
    elif shape.local:
        writer.add_head_count_kv([head_sizes(shape, i)[1] for i in range(shape.n_layers)])
    else:
        writer.add_head_count_kv(shape.n_kv_heads)
    if shape.architecture == "starcoder2":
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e6)
    if shape.net:
        _add_net(writer, shape, shape.net)
    elif not shape.latent:
        writer.add_rope_dimension_count(shape.head_dim or shape.dim // shape.n_heads)
    if shape.latent:
        m, at = shape.latent, f"{shape.architecture}.attention"
        writer.add_rope_dimension_count(m.rope)
        for name, n in (("key_length", m.rank + m.rope), ("value_length", m.rank),
                        ("key_length_mla", m.nope + m.rope), ("value_length_mla", m.value),
                        ("q_lora_rank", m.q_rank), ("kv_lora_rank", m.rank)):  # fmt: skip
            writer.add_uint32(f"{at}.{name}", n)
        writer.add_expert_shared_count(1)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
        writer.add_expert_weights_norm(True)
        writer.add_expert_weights_scale(1.8)
    elif shape.head_dim or shape.net:
        writer.add_key_length(shape.head_dim)
        writer.add_value_length(shape.head_dim)
    if shape.n_experts:
        writer.add_expert_count(shape.n_experts)
        writer.add_expert_used_count(shape.n_used)
        writer.add_expert_feed_forward_length(shape.hidden_dim)
    if shape.dense_dim:
        writer.add_leading_dense_block_count(1)
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    if shape.architecture == "gpt-oss":
        writer.add_sliding_window(128)
    if shape.architecture.startswith("gemma"):
        writer.add_sliding_window(1024)
    if shape.local:
        at, d = shape.architecture, shape.local.head_dim
        writer.add_sliding_window_pattern([is_local(shape, i) for i in range(shape.n_layers)])
        for name in ("attention.key_length_swa", "attention.value_length_swa",
                     "rope.dimension_count_swa"):  # fmt: skip
            writer.add_uint32(f"{at}.{name}", d)
        writer.add_float32(f"{at}.rope.freq_base_swa", 1e4)
        writer.add_uint32(f"{at}.attention.shared_kv_layers", 0)
        writer.add_uint32(f"{at}.embedding_length_per_layer_input", 0)
        writer.add_float32(f"{at}.final_logit_softcapping", 30.0)
    writer.add_vocab_size(shape.n_vocab)
    pieces, scores, kinds = vocabulary(shape.n_vocab)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def _add_net(writer: gguf.GGUFWriter, shape: Shape, net: Net) -> None:
    writer.add_rope_dimension_count(shape.head_dim // 4)
    writer.add_rope_dimension_sections([11, 11, 10, 0])
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_state_size(net.dim)
    writer.add_ssm_group_count(net.n_keys)
    writer.add_ssm_time_step_rank(net.n_values)
    writer.add_ssm_inner_size(net.n_values * net.dim)
    writer.add_uint32(f"{shape.architecture}.full_attention_interval", 4)
    if shape.n_experts:
        writer.add_expert_shared_feed_forward_length(shape.hidden_dim)


def ensure(name: str, folder: Path) -> Path:
    """The file of a name such as `7b-q4_0`, written into `folder` unless it is there."""
    shape, _, kind = name.rpartition("-")
    path = folder / f"{name}.gguf"
    if not path.is_file():
        print(f"writing {path}", file=sys.stderr)
        folder.mkdir(parents=True, exist_ok=True)
        write(SHAPES[shape], TYPES[kind], path)
    return path


def names() -> list[str]:
    """Every name that `ensure` knows."""
    return [f"{shape}-{kind}" for shape in SHAPES for kind in TYPES]


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=TYPES)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    write(SHAPES[args.shape], TYPES[args.type], args.out)


if __name__ == "__main__":
    main()
