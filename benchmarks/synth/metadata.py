"""What a file says of its shape, and an invented vocabulary."""

from __future__ import annotations

import itertools

import gguf
from gguf import TokenType

from .shapes import N_VOCAB, Latent, Net, Shape, head_sizes, is_local

N_CTX = 16384


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


def add_metadata(writer: gguf.GGUFWriter, shape: Shape) -> None:
    """All keys of a file."""
    writer.add_context_length(N_CTX)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.n_layers + shape.n_next)
    if shape.n_next:
        writer.add_nextn_predict_layers(shape.n_next)
    writer.add_feed_forward_length(shape.dense_dim or shape.hidden_dim)
    writer.add_head_count(shape.n_heads)
    _add_kv_heads(writer, shape)
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
        _add_latents(writer, shape, shape.latent)
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
    _add_windows(writer, shape)
    _add_vocabulary(writer, shape.n_vocab)


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


def _add_kv_heads(writer: gguf.GGUFWriter, shape: Shape) -> None:
    if shape.convolutions:
        writer.add_head_count_kv([shape.n_kv_heads * (one == "a") for one in shape.convolutions])
        writer.add_shortconv_l_cache(3)
    elif shape.local:
        writer.add_head_count_kv([head_sizes(shape, i)[1] for i in range(shape.n_layers)])
    else:
        writer.add_head_count_kv(shape.n_kv_heads)


def _add_latents(writer: gguf.GGUFWriter, shape: Shape, m: Latent) -> None:
    at = f"{shape.architecture}.attention"
    writer.add_rope_dimension_count(m.rope)
    for name, n in (("key_length", m.rank + m.rope), ("value_length", m.rank),
                    ("key_length_mla", m.nope + m.rope), ("value_length_mla", m.value),
                    ("q_lora_rank", m.q_rank), ("kv_lora_rank", m.rank)):  # fmt: skip
        writer.add_uint32(f"{at}.{name}", n)
    writer.add_expert_shared_count(1)
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SIGMOID)
    writer.add_expert_weights_norm(True)
    writer.add_expert_weights_scale(1.8)


def _add_windows(writer: gguf.GGUFWriter, shape: Shape) -> None:
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


def _add_vocabulary(writer: gguf.GGUFWriter, n: int) -> None:
    writer.add_vocab_size(n)
    pieces, scores, kinds = vocabulary(n)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
