"""A model's configuration, sampling and vocabulary as GGUF's metadata."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import gguf

from halfbyte.converting.recurrent_keys import add_recurrence
from halfbyte.converting.rotation_keys import add_rotation
from halfbyte.converting.size_keys import add_sizes, list_of_layers, shares_as_llama_cpp
from halfbyte.families.config import (
    DENSE_KEY,
    EXPERT_KEYS,
    GATINGS,
    KEYS,
    OPTIONS,
    ROTATED_LOCALLY_KEY,
    STEP_KEY,
    ExpertsConfig,
    ModelConfig,
)
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.model_card import SAMPLING_KEYS, WHOLE
from halfbyte.families.registry import FAMILIES, family_of
from halfbyte.families.xielu import XIELU_KEYS
from halfbyte.tokenizer.plain_json import GEMMA4
from halfbyte.tokenizer.pretokenizers import WHOLE_PIECES_FIRST
from halfbyte.tokenizer.vocabulary import (
    ADDED_KEY,
    EACH,
    ENDS_KEY,
    FLAG_KEYS,
    IDENTITY,
    NO_NORMALIZER,
    NORMALIZER_KEY,
    RULE_KEY,
    SPACING_KEY,
    SPECIAL_KEYS,
    TEMPLATE_KEY,
    WHOLE_WORDS_KEY,
    Vocabulary,
    with_spaces,
)

log = logging.getLogger(__name__)

_REPOSITORY = re.compile(r"\w[\w.-]{0,99}/\w[\w.-]{0,99}", re.ASCII)
_USUAL = '{"type": "NFC"}'  # all Qwen models' normalizer; most texts are in this form already
_COUNTS = ("n_ctx_train", "dim", "n_layers", "hidden_dim", "n_heads", "n_kv_heads", "head_dim")


def add_config(meta: gguf.GGUFWriter, c: ModelConfig) -> None:
    """Write the hyperparameters."""
    family = family_of(c)
    keys = {field: f"{c.architecture}.{key.gguf}" for field, key in family.keys.items()}
    for field in _COUNTS:
        values = list_of_layers(c, field)
        if values:
            meta.add_array(keys[field], values)
        elif field == "n_layers":
            add_layer_counts(meta, c)
        else:
            meta.add_uint32(keys[field], getattr(c, field))
    meta.add_value_length(c.latent.kv_lora_rank if c.latent else c.head_dim)
    meta.add_float32(keys["norm_eps"], c.norm_eps)
    for field in OPTIONS:
        if family.keys[field].gguf in family.reads:
            meta.add_float32(keys[field], getattr(c, field))
    for name, key in XIELU_KEYS.items() if c.xielu else ():
        meta.add_array(key, [float(getattr(one, name)) for one in c.xielu])
    add_rotation(meta, c)
    add_recurrence(meta, c)
    meta.add_vocab_size(c.vocab_size)
    if c.experts is not None:
        _add_experts(meta, c.architecture, c.experts)
    if c.latent is not None:
        _add_latent(meta, c, c.latent)
    if c.sizes is not None:
        add_sizes(meta, c, c.sizes)


def add_layer_counts(meta: gguf.GGUFWriter, c: ModelConfig) -> None:
    """Write how many layers there are, and how many of them guess further ahead."""
    meta.add_block_count(c.n_layers + c.n_next)
    if c.n_next:
        meta.add_nextn_predict_layers(c.n_next)


def _add_experts(meta: gguf.GGUFWriter, architecture: str, e: ExpertsConfig) -> None:
    """Write what says something, as llama.cpp's converter does."""
    key = {field: f"{architecture}.{name}" for field, name in EXPERT_KEYS.items()}
    for field in ("n_experts", "n_used", "hidden_dim"):
        meta.add_uint32(key[field], getattr(e, field))
    for field in ("n_shared", "shared_dim", "n_dense_layers"):
        if getattr(e, field):
            meta.add_uint32(key[field], getattr(e, field))
    if e.n_groups > 1:
        meta.add_uint32(key["n_groups"], e.n_groups)
        meta.add_uint32(key["n_groups_used"], e.n_groups_used)
    if STEP_KEY in FAMILIES[architecture].reads:
        meta.add_uint32(f"{architecture}.{STEP_KEY}", 1)  # which llama.cpp wants to be told
    if e.dense_layers:
        meta.add_array(DENSE_KEY, list(e.dense_layers))
    if e.scale != 1.0:
        meta.add_float32(key["scale"], e.scale)
    meta.add_uint32(key["gating"], GATINGS[e.gating])
    meta.add_bool(key["normalizes"], e.normalizes)


def _add_latent(meta: gguf.GGUFWriter, c: ModelConfig, m: LatentConfig) -> None:
    """Write how keys and values are compressed, and what llama.cpp wants of a model so."""
    at = f"{c.architecture}.attention"
    if m.q_lora_rank:
        meta.add_uint32(f"{at}.q_lora_rank", m.q_lora_rank)
    meta.add_uint32(f"{at}.kv_lora_rank", m.kv_lora_rank)
    meta.add_uint32(f"{at}.key_length_mla", m.qk_dim)
    meta.add_uint32(f"{at}.value_length_mla", m.value_dim)
    if c.experts is None:
        meta.add_leading_dense_block_count(c.n_layers)
        meta.add_expert_feed_forward_length(c.hidden_dim)
        meta.add_expert_shared_count(0)


def add_base_model(meta: gguf.GGUFWriter, name_or_path: object) -> None:
    """Write which model this one was made from, if config.json names a hub's repository."""
    if not isinstance(name_or_path, str) or not _REPOSITORY.fullmatch(name_or_path):
        return
    organization, _, name = name_or_path.partition("/")
    meta.add_base_model_count(1)
    meta.add_base_model_name(0, name)
    meta.add_base_model_organization(0, organization)
    meta.add_base_model_repo_url(0, f"https://huggingface.co/{name_or_path}")


def add_sampling(meta: gguf.GGUFWriter, sampling: Mapping[str, float]) -> None:
    """Write how the model's makers sample, as llama.cpp's converter does."""
    for name, value in sampling.items():
        if name in WHOLE:
            meta.add_int32(SAMPLING_KEYS[name], int(value))
        else:
            meta.add_float32(SAMPLING_KEYS[name], value)


def add_vocabulary(meta: gguf.GGUFWriter, v: Vocabulary) -> None:
    """Write the tokenizer keys of a vocabulary."""
    meta.add_tokenizer_model(v.pre if v.pre == GEMMA4 else v.model)
    meta.add_tokenizer_pre(v.pre)
    meta.add_token_list(v.pieces)
    meta.add_token_types(v.types)
    if v.model == "llama":
        meta.add_token_scores(v.scores)
        meta.add_add_space_prefix(v.add_space_prefix)
        _add_spelling(meta, v)
    else:
        meta.add_token_merges(v.merges)
        if v.normalizer is not None:
            meta.add_string(NORMALIZER_KEY, v.normalizer)
        if v.ignore_merges is not None:
            meta.add_bool(WHOLE_WORDS_KEY, v.ignore_merges)
    for flag, ids in v.flags.items():
        if ids:
            meta.add_array(FLAG_KEYS[flag], list(ids))
    for role, token in v.special.items():
        meta.add_uint32(f"tokenizer.ggml.{SPECIAL_KEYS[role][0]}_token_id", token)
    if v.ends:
        meta.add_array(ENDS_KEY, list(v.ends))
    if v.add_bos is not None:
        meta.add_bool("tokenizer.ggml.add_bos_token", v.add_bos)
    if v.add_eos:
        meta.add_add_eos_token(v.add_eos)
    if v.chat_template is not None:
        meta.add_chat_template(v.chat_template)
    for name, template in v.named_templates.items():
        meta.add_string(f"{TEMPLATE_KEY}.{name}", template)
    if v.named_templates:
        meta.add_array(f"{TEMPLATE_KEY}s", list(v.named_templates))


def say_what_llama_cpp_computes(path: Path, c: ModelConfig) -> None:
    """A word on what it computes otherwise than the file says, without one of its own."""
    family, e, others = family_of(c), c.experts, []
    rules = family.experts
    if e is not None and rules and not rules.states_norm and e.normalizes != rules.normalizes:
        does = "divides" if rules.normalizes else "does not divide"
        others.append(f"it {does} the experts' scores by their sum")
    sees_window = KEYS["sliding_window"].gguf in family.reads
    sees_window &= family.n_layers_with_window in (0, c.n_layers)
    if c.sliding_window and not sees_window:
        others.append(f"there is no window of {c.sliding_window} positions")
    if not c.sliding_window and c.n_layers == family.n_layers_with_window:
        others.append("some layers have a window")
    # Laguna's rope of these layers, which has a count of features too, is read.
    reads_local = family.local_theta != 0 or ROTATED_LOCALLY_KEY in family.reads
    if not reads_local and c.local_rope and c.local_rope.theta != c.rope.theta:
        others.append("layers with a window rotate as the others do")
    if c.sizes and not shares_as_llama_cpp(c):
        others.append("layers that share keys take those of the last two that have any")
    if others:
        log.warning("%s: llama.cpp computes something else with this file's architecture, %s: %s",
                    path, c.architecture, ", ".join(others))  # fmt: skip


def say_what_others_miss(v: Vocabulary) -> None:
    """A word on what stands in keys that only halfbyte reads."""
    only_ours = [f"added tokens' {flag}" for flag in v.flags if flag != "normalized"]
    if v.normalizer not in (None, NO_NORMALIZER):
        only_ours.append(f"the normalizer {v.normalizer}")
    if v.normalization_rule != IDENTITY:
        only_ours.append(f"the normalization {v.normalization_rule}")
    if v.remove_extra_whitespaces:
        only_ours.append("that spaces are joined")
    if v.spacing != EACH and v.add_space_prefix:
        only_ours.append(f"where a space is put: {v.spacing}")
    if v.ignore_merges is not None and v.ignore_merges != (v.pre in WHOLE_PIECES_FIRST):
        only_ours.append(f"ignore_merges: {str(v.ignore_merges).lower()}")
    if only_ours:
        is_usual = only_ours == [f"the normalizer {_USUAL}"]
        log.log(
            logging.INFO if is_usual else logging.WARNING,
            "%s: the file will say, but other programs do not heed: %s; they make other tokens of "
            "some texts", v.path, ", ".join(only_ours),
        )  # fmt: skip


def _add_spelling(meta: gguf.GGUFWriter, v: Vocabulary) -> None:
    """What sentencepiece makes of a text first, where that is anything."""
    if v.remove_extra_whitespaces:
        meta.add_remove_extra_whitespaces(True)
    # Without a key of ours, pieces with spaces are those of llama.cpp's converter.
    if v.normalization_rule != IDENTITY or with_spaces(v.pieces, v.types):
        meta.add_string(RULE_KEY, v.normalization_rule)
    if v.spacing != EACH:
        meta.add_string(SPACING_KEY, v.spacing)
    if v.added:
        meta.add_array(ADDED_KEY, list(v.added))
