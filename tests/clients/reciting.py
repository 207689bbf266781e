"""A model that recites, so that an agent can be led through a tool call and an answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

PACKAGED = Path(__file__).resolve().parents[2] / "runtime" / "data" / "infill-10m.gguf"
ANSWER = "The tool has answered."
END, N_EMBD, SURE = 2, 64, 8.0
Matrix = npt.NDArray[np.float32]
_CALL, _SAY, _NORMAL, _CONTROL = "<|call|>", "<|say|>", 1, 3
# Tools as Hermes has them; the last token says what is recited: a call, until a tool has answered.
TEMPLATE = (
    "{% set ns = namespace(answered=false) %}{% for t in tools or [] %}{{ t | tojson }}\n"
    "{% endfor %}{% for m in messages %}{% if m.role == 'tool' %}{% set ns.answered = true %}"
    "{% endif %}|{{ m.role }}|{{ m.content }}{% for c in m.tool_calls or [] %}"
    "<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}{% if tools and not ns.answered %}" + _CALL + "{% else %}"
    + _SAY + "{% endif %}{% endif %}"
)  # fmt: skip


def reciting_model(path: Path, name: str, arguments: dict[str, Any], answer: str = ANSWER) -> Path:
    """A model's file: with tools it calls that one, then or without tools it says the answer.

    Its text is the packaged model's, and so are its tokens, but for some of its own. Layers add
    nothing, so that what comes depends on the last token: some have a direction of their own, to
    which the next one's row of the output points; after all others comes what a call is made of,
    as far as its grammar allows, or else the end.
    """
    fields = gguf.GGUFReader(PACKAGED).fields
    tokens: list[str] = fields["tokenizer.ggml.tokens"].contents()
    n_known = len(tokens)
    call = [_token(tokens, text) for text in (json.dumps(arguments), '", "arguments": ', name, " ")]
    chains = [[_token(tokens, text) for text in chain]
              for chain in ((_CALL, "<tool_call>"), (">", "</s>"),
                            (_SAY, answer[:1], answer[1:], "</s>"))]  # fmt: skip
    new = [_CONTROL if text in (_CALL, _SAY) else _NORMAL for text in tokens[n_known:]]
    writer = gguf.GGUFWriter(path, "llama")
    _add_settings(writer)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types(fields["tokenizer.ggml.token_type"].contents() + new)
    writer.add_token_scores(fields["tokenizer.ggml.scores"].contents() + [-1e18] * len(new))
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    _add_tensors(writer, *_weights(len(tokens), call, chains))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _token(tokens: list[str], text: str) -> int:
    """The id of a piece, which is made if there is none."""
    piece = text.replace(" ", "▁")
    if piece not in tokens:
        tokens.append(piece)
    return tokens.index(piece)


def _add_settings(writer: gguf.GGUFWriter) -> None:
    writer.add_name("reciting")
    writer.add_context_length(65536)
    writer.add_embedding_length(N_EMBD)
    writer.add_block_count(1)
    writer.add_feed_forward_length(N_EMBD)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_dimension_count(N_EMBD)
    writer.add_rope_freq_base(10000.0)


def _weights(
    n_vocab: int, call: Sequence[int], chains: Sequence[Sequence[int]]
) -> tuple[Matrix, Matrix]:
    """Embeddings and the output's rows."""
    embedding, output = np.zeros((2, n_vocab, N_EMBD), np.float32)
    embedding[:, 0] = SURE
    for n, token in enumerate([*call, END]):
        output[token, 0] = SURE - n
    follows = [pair for chain in chains for pair in pairwise(chain)]
    for direction, (token, following) in enumerate(follows, 1):
        embedding[token] = 0
        embedding[token, direction] = output[following, direction] = SURE
    return embedding, output


def _add_tensors(writer: gguf.GGUFWriter, embedding: Matrix, output: Matrix) -> None:
    ones, zeros = np.ones(N_EMBD, np.float32), np.zeros((N_EMBD, N_EMBD), np.float32)
    writer.add_tensor("token_embd.weight", embedding)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", ones)
    for norm in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{norm}.weight", ones)
    for matrix in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{matrix}.weight", zeros)
