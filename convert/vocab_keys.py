"""A vocabulary as GGUF's metadata."""

from __future__ import annotations

import gguf

from halfbyte.tokenizer.vocabulary import SPECIAL_KEYS, Vocabulary


def add_vocabulary(meta: gguf.GGUFWriter, v: Vocabulary) -> None:
    """Write the tokenizer keys of a vocabulary."""
    meta.add_tokenizer_model(v.model)
    meta.add_tokenizer_pre(v.pre)
    meta.add_token_list(v.pieces)
    meta.add_token_types(v.types)
    if v.model == "llama":
        meta.add_token_scores(v.scores)
        meta.add_add_space_prefix(v.add_space_prefix)
    else:
        meta.add_token_merges(v.merges)
    for role, token in v.special.items():
        meta.add_uint32(f"tokenizer.ggml.{SPECIAL_KEYS[role][0]}_token_id", token)
    if v.add_bos is not None:
        meta.add_bool("tokenizer.ggml.add_bos_token", v.add_bos)
    if v.chat_template is not None:
        meta.add_chat_template(v.chat_template)
