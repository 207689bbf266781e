"""Every key of GGUF's metadata that llama.cpp reads for any architecture, and what it is here.

llama.cpp's own code for an architecture says what a key means to it: most are read for others
alone. A file that states one of those may still come from a model that computes more than its
architecture, so values that would change a result are refused by name.

Keys in other places are others' matter: `general.` describes (model_card.py reads some of it),
`tokenizer.` and `split.` are read in tokenizer/ and gguf/; `clip.` and `imatrix.` are not of models
of text, and what neither llama.cpp nor the specification names is left alone.

Sources: llama.cpp's LLM_KV_NAMES (src/llama-arch.cpp), load_hparams (src/llama-model.cpp) and
src/models/; the package gguf's `constants.Keys`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

from halfbyte.errors import UnsupportedModelError
from halfbyte.families.config import KEYS
from halfbyte.families.neutral import OFF, Neutral, among, names
from halfbyte.files.file_warnings import warn_about
from halfbyte.gguf.metadata import Metadata

log = logging.getLogger(__name__)

# Behind "<architecture>.": read by from_gguf.py, with the checks that it makes.
READ = names("""
    context_length embedding_length embedding_length_out block_count feed_forward_length vocab_size
    attention.head_count attention.head_count_kv attention.key_length attention.value_length
    attention.layer_norm_rms_epsilon attention.scale
    rope.dimension_count rope.freq_base rope.scale_linear rope.scaling.type rope.scaling.factor
    rope.scaling.original_context_length rope.scaling.attn_factor rope.scaling.yarn_attn_factor
    rope.scaling.yarn_beta_fast rope.scaling.yarn_beta_slow rope.scaling.yarn_log_multiplier
""")

# Without effect on logits: what a number was before it was stretched, how tensors once lay; norms
# and windows that no architecture here has; how experts, indexers and the like work, which stands
# beside a key that switches them on, below.
WITHOUT_EFFECT = names("""
    rope.scaling.finetuned
    attention.layer_norm_epsilon attention.group_norm_epsilon attention.group_norm_groups
    tensor_data_layout decoder_start_token_id token_shift_count
    attention.sliding_window_pattern attention.key_length_swa attention.value_length_swa
    attention.key_length_mla_swa attention.value_length_mla_swa attention.kv_lora_rank_swa
    rope.dimension_count_swa rope.freq_base_swa
    expert_group_scale expert_weights_norm expert_weights_scale expert_gating_func
    experts_per_group expert_feed_forward_length expert_chunk_feed_forward_length
    attention.indexer.kpool_select_tail kda.gate_lower_bound deepstack_mapping
    activation.situ_beta
""")
# llama.cpp's saver (llama-model-saver.cpp) writes every number it has, also what an architecture
# does not read and that then is its default. No other program's file has both of these keys.
_SAVER = ("token_shift_count", "ssm.dt_b_c_rms")
SAVED: dict[str, Neutral] = {
    "attn_logit_softcapping": among(0, 50.0),
    "final_logit_softcapping": among(0, 30.0),
    "router_logit_softcapping": among(0, 30.0),
}

# Values that say nothing of one architecture: for Granite llama.cpp takes a word on training as one
# on rotation.
_OWN: dict[str, dict[str, Neutral]] = {
    "granite": {"rope.scaling.finetuned": among(True)},
}

_SCALE = among(0, 1)  # llama.cpp's 0 is "none"
_NO_POOLING = among(0, -1, 2**32 - 1)  # none, or not stated

# What llama.cpp does not read for these architectures, or not for logits: values that say nothing,
# and the word that others get.
NOT_USED: dict[str, tuple[Neutral, str]] = {
    KEYS["sliding_window"].gguf: (OFF, "as in llama.cpp, this architecture has no window"),
    "pooling_type": (_NO_POOLING, "embeddings of texts are not made here"),
}

# Refused unless neutral. What is switched by one key has others that say how: they are all here.
NEUTRAL: dict[str, Neutral] = {
    **dict.fromkeys(names("""
        embedding_scale residual_scale logit_scale attention.output_scale attention.value_scale
        attention.temperature_scale rope.scaling.alpha
    """), _SCALE),
    "attention.causal": among(True),
    "attention.rope_pattern": among(1),
    "hidden_activation": among("", "silu"),
    "num_loops": among(0, 1),
    "classifier.pooling_type": _NO_POOLING,
    "rope.scaling.yarn_ext_factor": among(0, -1, 1),  # -1 is YaRN's own
    **dict.fromkeys(names("""
        attn_logit_softcapping final_logit_softcapping router_logit_softcapping
        attention.clamp_kqv attention.max_alibi_bias attention.temperature_length
        rope.dimension_sections swin_norm
        use_parallel_residual rescale_every_n_layers
        time_mix_extra_dim time_decay_extra_dim activation_sparsity_scale
        activation.situ_linear_beta swiglu_clamp_exp swiglu_clamp_shexp

        expert_count expert_used_count expert_shared_count expert_group_count
        expert_group_used_count expert_shared_feed_forward_length expert_latent_length
        leading_dense_block_count interleave_moe_layer_step moe_every_n_layers moe_latent_size

        attention.q_lora_rank attention.kv_lora_rank attention.key_length_mla
        attention.value_length_mla attention.decay_lora_rank attention.iclr_lora_rank
        attention.value_residual_mix_lora_rank attention.gate_lora_rank attention.output_lora_rank
        attention.output_group_count attention.relative_buckets_count attention.shared_kv_layers
        attention.recurrent_layers attention.compress_rope_freq_base attention.compress_ratios
        attention.indexer.head_count attention.indexer.key_length attention.indexer.top_k
        attention.indexer.block_size attention.indexer.local_blocks attention.indexer.types
        attention.indexer.kpool full_attention_interval

        ssm.conv_kernel ssm.inner_size ssm.state_size ssm.time_step_rank ssm.group_count
        ssm.dt_b_c_rms kda.head_dim kda.safe_gate wkv.head_size
        shortconv.l_cache hyper_connection.count hyper_connection.sinkhorn_iterations
        hyper_connection.epsilon hyper_connection.magnitude hyper_connection.low_rank
        hrm.layers_per_stack hrm.h_cycles hrm.l_cycles hrm.prefix_lm skip_loop_final_norm
        attn_res.block_size hash_layer_count nextn_predict_layers

        embedding_length_per_layer_input ple.layers ple.ngram_size ple.heads_per_ngram
        ple.conv_kernel ple.layer_multipliers ple.head_offsets ple.head_vocab_sizes
        ple.eos_token_id ple.image_token_id altup.active_idx altup.num_inputs
        adapters.count adapters.token_ids_activate adapters.token_ids_substitute
        adapters.lora_rank adapters.router_gain n_deepstack_layers

        features_length decoder_block_count posnet.embedding_length posnet.block_count
        convnext.embedding_length convnext.block_count classifier.output_labels
        decision.block_count decision.routing_block_count decision.head_count
        decision.max_head_tokens decision.type has_confidence_head sample_from_anchor
        dense_2_feat_in dense_2_feat_out dense_3_feat_in dense_3_feat_out
        target_layers target_hidden_size norm_before_residual norm_before_fc block_size
        conv_kernel_size conv_group_size selector_rank selector_top_k
    """), OFF),
}  # fmt: skip

# Keys that do not stand behind the architecture.
NEUTRAL_ELSEWHERE: dict[str, Neutral] = {
    "general.type": among("model"),
    "diffusion.shift_logits": among(False),
    **dict.fromkeys(names("xielu.alpha_n xielu.alpha_p xielu.beta xielu.eps"), OFF),
    **dict.fromkeys(names("""
        adapter.type adapter.lora.alpha adapter.lora.task_name adapter.lora.prompt_prefix
        adapter.alora.invocation_tokens
    """), OFF),
}  # fmt: skip
_KNOWN = READ | WITHOUT_EFFECT | NEUTRAL.keys() | NOT_USED.keys()


def is_saved(m: Metadata, architecture: str) -> bool:
    """Whether llama.cpp's saver wrote a file: it states defaults too."""
    return all(f"{architecture}.{name}" in m for name in _SAVER)


def check_keys(m: Metadata, architecture: str, read: Collection[str] = ()) -> None:
    """Refuse what would change a result and is not supported; name what nothing is known of.

    `read` are names that the architecture's family reads beside those of READ.

    Raises:
        UnsupportedModelError: it names the key.
    """
    prefix, unknown = f"{architecture}.", []
    table = {**NEUTRAL, **SAVED} if is_saved(m, architecture) else NEUTRAL
    table = {**table, **_OWN.get(architecture, {})}
    for key in m:
        name = key.removeprefix(prefix) if key.startswith(prefix) else None
        value = m.raw(key).value
        neutral = NEUTRAL_ELSEWHERE.get(key) if name is None else table.get(name)
        if (key if name is None else name) in read:
            continue
        if neutral is not None and not neutral.holds(value):
            raise UnsupportedModelError(
                m.path, key, expected=neutral.text, got=value,
                hint="what the file asks for is not supported",
            )  # fmt: skip
        nothing, why = NOT_USED.get(name or "", (OFF, ""))
        if why and not nothing.holds(value):
            warn_about(log, m.path, "%s is %.40s: not used, %s", key, value, why)
        if name is not None and name not in _KNOWN:
            unknown.append(key)
    if unknown:
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        shown = ", ".join(f"{key!r:.80}" for key in unknown[:8])
        warn_about(log, m.path, "keys that are not known here: %s%s", shown, more)
