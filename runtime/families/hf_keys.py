"""Every key of config.json that transformers or llama.cpp's converter reads for any model of text.

What transformers' class for a `model_type` computes is the truth; it takes no notice of what only
other classes read. But a checkpoint that states such a key may come from a model that computes more
than the class of its name, so values that would change a result are refused by name. What remains,
details of parts that other models have and names that nobody reads, gets a word.

tests/data/golden_keys.json lists what must be here; benchmarks/make_keys_golden.py makes it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from halfbyte.families.hf_reader import Reader
from halfbyte.families.neutral import OFF, ONE, Neutral, among, each, names

log = logging.getLogger(__name__)

# Read by from_hf.py or by a family (Family.only), by the tokenizer's readers, or by that of
# quantized weights, each with its checks.
READ = names("""
    model_type architectures vocab_size hidden_size intermediate_size num_hidden_layers
    num_attention_heads num_key_value_heads head_dim max_position_embeddings rms_norm_eps
    tie_word_embeddings attention_bias mlp_bias layer_types
    sliding_window use_sliding_window max_window_layers
    rope_parameters rope_scaling rope_theta partial_rotary_factor original_max_position_embeddings
    attention_multiplier query_pre_attn_scalar rotary_dim
    bos_token_id eos_token_id pad_token_id _name_or_path quantization_config compression_config
""")
# Inside rope_parameters or rope_scaling. The kinds of RoPE that take others are refused.
READ_IN_ROPE = names("""
    rope_type type rope_theta factor low_freq_factor high_freq_factor
    original_max_position_embeddings partial_rotary_factor
    attention_factor beta_fast beta_slow mscale mscale_all_dim truncate short_factor long_factor
    llama_4_scaling_beta
""")

# Without effect on logits: training, caches, how calls are answered, sampling, tokens, labels, how
# a file was made. pretraining_tp once cut products into pieces that were summed.
WITHOUT_EFFECT = names("""
    initializer_range initializer_factor init_std initializer_cutoff_factor w_init_variance_scale
    embedding_initializer_range axial_norm_std embed_init_std learnable_sink_init lambda_std_dev
    attention_dropout attention_probs_dropout_prob attn_pdrop embd_pdrop emb_pdrop embed_dropout
    embedding_dropout resid_pdrop resid_dropout residual_dropout hidden_dropout hidden_dropout_prob
    activation_dropout classifier_dropout classifier_dropout_prob dropout dropout_p layerdrop
    encoder_layerdrop decoder_layerdrop mlp_dropout summary_first_dropout summary_last_dropout
    lsh_attention_probs_dropout_prob local_attention_probs_dropout_prob gradient_checkpointing
    router_aux_loss_coef router_jitter_noise input_jitter_noise aux_loss_coef z_loss_coefficient
    mtp_loss_scaling_factor rescale_prenorm_residual apply_spec_augment mask_time_prob
    mask_time_length mask_time_min_masks mask_feature_prob mask_feature_length
    mask_feature_min_masks disable_ngram_loss output_router_logits

    use_cache pretraining_tp chunk_size_feed_forward return_dict output_hidden_states
    output_attentions output_scores return_dict_in_generate num_logits_to_keep problem_type
    id2label label2id num_labels is_decoder torch_dtype dtype store_dtype residual_in_fp32
    attention_softmax_in_fp32 scale_attention_softmax_in_fp32 reorder_and_upcast_attn slow_but_exact
    enable_lm_head_fp32 attn_implementation _attn_implementation experts_implementation
    _experts_implementation use_mamba_kernels
    use_mambapy use_associative_scan use_mem_eff_path init_device compile_config kv_sharing_modes
    number_of_conv_states distributed_config

    do_sample temperature top_k top_p typical_p repetition_penalty encoder_repetition_penalty
    length_penalty diversity_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size num_beams
    num_beam_groups num_return_sequences early_stopping min_length max_length bad_words_ids
    epsilon_cutoff eta_cutoff exponential_decay_length_penalty remove_invalid_values
    num_assistant_tokens num_assistant_tokens_schedule assistant_confidence_threshold
    assistant_lookbehind target_lookbehind forced_bos_token_id forced_eos_token_id suppress_tokens
    begin_suppress_tokens sample_from_anchor

    add_bos_token add_eos_token bos_token eos_token pad_token sep_token unk_token chat_template
    added_tokens_decoder sep_token_id cls_token_id mask_token_id eod_token_id
    decoder_start_token_id boa_token_id boi_token_id boi_token_index eoa_token_id eoa_token_index
    eoi_token_id eoi_token_index image_token_id image_token_index
    audio_token_id video_token_id vision_start_token_id vision_end_token_id codec_eos_token_id
    pad_index unk_index bos_index eos_index mask_index lang_id languages default_language
    task_instructions

    transformers_version _commit_hash _configuration_file _from_auto _from_pipeline name_or_path
    base_model_name_or_path producer revision repo_id token subfolder cache_dir proxies
    force_download local_files_only trust_remote_code gguf_file commit_message return_unused_kwargs

    model_max_length max_sequence_length max_seq_len seq_length max_context_length
    initial_context_length context_length n_positions n_ctx
    layer_norm_eps layer_norm_epsilon layernorm_epsilon norm_eps norm_epsilon eps
    group_norm_epsilon group_norm_groups rms_norm_eps_moe_gate mixer_rms_eps hc_eps
""")

NEUTRAL: dict[str, Neutral] = {
    "hidden_act": among("silu", "swish"),
    **dict.fromkeys(
        names("hidden_activation activation_function activation ff_activation mlp_hidden_act afn"),
        among(None, "silu", "swish"),
    ),
    "is_causal": among(True),
    "causal": among(None, True),
    "scale_attn_weights": among(None, True),
    "rope_is_neox_style": among(None, True),
    "learned_pos_emb": among(None, False),
    "position_embedding_type": among(None, "rope", "rotary"),
    "mlp_layer_types": each("dense"),
    "no_rope_layers": each(1),  # 1 says that a layer has RoPE
    "mlp_multipliers": each(1),
    # Factors of what flows through the model, and of how much of a head is rotated.
    **dict.fromkeys(names("""
        embedding_multiplier embedding_multiplier_scale input_embedding_scale embeddings_scale
        mup_embeddings_scale scale_emb embedding_scale residual_multiplier scale_depth
        logits_scaling logit_scale lm_head_multiplier output_multiplier output_multiplier_scale
        mup_output_alpha mup_width_scale width_scale logits_mup_width_multiplier
        attention_in_multiplier attention_out_multiplier attn_output_multiplier key_multiplier
        attention_value_scale qk_scale_factor full_attn_alpha_factor full_attn_beta_factor
        linear_attn_alpha_factor linear_attn_beta_factor mlp_alpha_factor mlp_beta_factor
        layernorm_full_attention_alpha layernorm_full_attention_beta
        layernorm_linear_attention_alpha layernorm_linear_attention_beta
        layernorm_mlp_alpha layernorm_mlp_beta swiglu_alpha num_loops
        rotary_pct rope_pct rope_percent rotary_emb_fraction partial_rotary_factors rope_ratio
        rope_scaling_factor embedding_fraction
    """), ONE),
    **dict.fromkeys(names("""
        final_logit_softcapping attn_logit_softcapping logits_soft_cap output_logit_soft_cap
        router_logit_softcapping moe_router_logit_softcapping gate_soft_cap mlp_gate_softcap
        mlp_up_softcap clip_qkv clamp_len swiglu_limit swiglu_limits swiglu_limits_shared
        qk_l2_clip_threshold rel_l2_clip_threshold attn_temperature_tuning attn_temperature_len
        llama_4_scaling log_scaling_alpha scale_embedding rescale_embeddings
        scale_attn_by_inverse_layer_idx mup_enabled dim_model_base rescale_every
        activation_sparsity_pattern activation_situ_beta activation_situ_linear_beta

        attention_chunk_size attention_window_size window_size local_attention keep_window_size
        sliding_window_pattern sliding_window_size sliding_window_layout swa_window_size use_swa
        local_attention_window_len global_attn_every_n_layers local_layer_ids no_rope_layer_interval
        nope_on_global_attention prefix_dense_sliding_window_pattern prefix_lm same_length
        use_bidirectional_attention bi_data attention_k_eq_v num_kv_shared_layers

        global_rope_theta rope_global_theta rope_theta_global local_rope_theta rope_local_theta
        rope_theta_local rope_local_base_freq swa_rope_theta rotary_emb_base layer_rope_theta
        compress_rope_theta rope_interleave rope_interleaved rotary_emb_interleaved use_mrope
        rotary_emb_scale_base use_long_context use_mem_rope alibi sinusoidal_embeddings
        use_learned_position_embeddings axial_pos_embds attn_rotary_emb

        parallel_attn use_parallel_residual new_decoder_architecture multi_query use_qk_norm
        qk_layernorm use_post_norm use_sandwich_norm k_rope_only_layernorm swin_norm norm_head
        apply_residual_connection_post_layernorm add_out_norm gated_norm_rank use_attention_gate
        headwise_attn_output_gate gate_attn_act_mode bias use_bias enable_bias add_bias_linear
        attention_out_bias lm_head_bias norm_bias mlp_fc1_bias mlp_fc2_bias

        per_layer_config block_configs num_attention_heads_per_layer num_key_value_heads_per_layer
        ffn_multipliers hybrid_override_pattern hybrid_layer_pattern layers_block_type block_types
        attn_layer_indices full_attn_idxs full_attn_layers full_attention_interval attn_layers
        attention_types linear_attn_config ssm_cfg mamba_enabled sparse_attention_config

        num_experts num_local_experts n_routed_experts moe_num_experts moe_num_primary_experts
        num_shared_experts n_shared_experts moe_num_shared_experts num_shared_expert
        zero_expert_num is_moe enable_moe_block moe moe_layers use_double_wide_mlp

        q_lora_rank kv_lora_rank swa_q_lora_rank swa_kv_lora_rank o_lora_rank n_lora_q n_lora_kv
        index_topk index_n_heads indexer_n_heads indexer_budget use_dsa compress_rates
        compress_ratios num_nextn_predict_layers num_mtp_layers mtp_num_hidden_layers
        mtp_layer_types mtp_layers_block_type mtp_per_layer_config draft_vocab_size dflash_config
        eagle_aux_hidden_state_layer_ids dspark_target_layer_ids target_layer_ids

        hc_mult hc_count hidden_size_per_layer_input vocab_size_per_layer_input ple_layer_ids
        ngram_size laurel_rank altup_num_inputs attn_res_block_size n_layers_per_attn_res_block
        num_layers_per_stack H_cycles L_cycles num_hash_layers num_adapters max_lora_rank
        adapter_token_ids peft_type rank_pattern use_dora use_rslora use_prompt

        is_encoder_decoder is_encoder add_cross_attention cross_attention_hidden_size decision
        pooling text_config vision_config audio_config audio_encoder audio_encoder_config
        speech_config sound_config llm_config lm_config language_config thinker_config
        talker_config whisper_config projector_config decoder decoder_config encoder encoder_config
        depth_decoder_config global_config patcher_config text_encoder vq_config
        transformer_layer_config speaker_encoder_config transformers_weights fusion_config
        attn_config ffn_config attention_other_setting quantization yarn _remove_final_layer_norm
    """), OFF),
}  # fmt: skip

# Of parts that other models have: sizes, kinds and names that say nothing without a key above which
# puts the part there, or without tensors of its own, which are missed or left over then.
DETAILS = names("""
    auto_map
    L_bp_cycles a_low_rank_dim adapter_layer_norm adapter_rank adapter_reduction_factor
    adapter_reuse_layer_norm adapter_substitute_token_ids alpha_pattern altup_active_idx
    altup_coef_clip altup_correct_scale apply_mla_qkv_lora_rescale asm attention_dim
    attention_head_dim attention_head_size attention_heads attention_hidden_size attention_type
    attn_factor attn_layer_offset attn_layer_period attn_scale attn_type audio_chunk_size
    audio_merge_size audio_soft_tokens_per_image audio_vocab_size autocast_kernel_dtype
    aux_hidden_state_layer_ids axial_pos_embds_dim axial_pos_shape backbone_hidden_size
    beta_fast beta_slow bits block_auto_adjust_ff_dim block_ff_dim block_ffn_dim_multiplier
    block_multiple_of block_size block_structure cca_time0 cca_time1 centroid_intermediate_top_k
    chain_hidden_post_norm checkpoint_format chroma_length chunk_size chunk_size_lm_head
    chunkwise_kernel classifier_activation classifier_bias classifier_pooling
    classifier_proj_size concat_input config_groups control_token_gain conv1d_width conv_L_cache
    conv_bias conv_group_size conv_kernel conv_kernel_size convnext cross_attn_k d_conv d_ff
    d_head d_inner d_kv d_model d_rel d_state decay_low_rank_dim decoder_attention_heads
    decoder_bias decoder_ffn_dim decoder_layers decoder_sparse_step decoder_vocab_size
    deepstack_layer_map deepstack_visual_indexes dense_intermediate_size dff dim dim_ff dim_head
    do_layer_norm_before downsample_factor downsample_mode downsample_rate downsample_ratio
    dspark_block_size dspark_noise_token_id dt_rank emb_dim embedding_dim embedding_size
    enable_moe_fp32_combine enable_pronunciation enable_shape encoder_attention_heads
    encoder_ffn_dim encoder_hash_byte_group_nb_functions encoder_hash_byte_group_size
    encoder_hash_byte_group_vocab encoder_layers end_n_top expand expansion_ratio
    expert_ffn_hidden_size expert_intermediate_size expert_layer_offset expert_layer_period
    expert_selection_fn extrapolation_factor factor feed_forward_size ffn_dim ffn_dim_divisor
    ffn_hidden_size ffn_proj_factor ffn_round_up_to_multiple_of final_norm first_k_dense_replace
    first_last_k_dense_replace floor_scale force_image_size format fullatt_block_indexes
    gate_low_rank_dim gate_lower_bound gated_attention_proj_granularity_type gating gating_types
    gelu_activation global_head_dim group_size has_embed_tokens hash_seed hc_lowrank
    hc_magnitude hc_sinkhorn_iters head_size heads heads_per_ngram hidden_dim hidden_mamba_act
    hidden_size_per_head image_grid_pinpoints image_mean image_seq_length image_size image_std
    in_patch_limit index_block_size index_head_dim index_local_blocks index_topk_blocks
    indexer_compress_ratio indexer_head_dim indexer_kv_heads indexer_types inference_state_dtype
    input_embedding_size insert_layer_id interleave_moe_layer_step intermediate_multiple_size
    intermediate_size_mlp intermediate_size_moe kda_lower_bound kda_safe_gate kv_channels
    kv_n_heads layer_group_size layer_norm_elementwise_affine layernorm_embedding layers lfm
    linear_a_log_max linear_a_log_min linear_allow_neg_eigval linear_conv_kernel_dim
    linear_dt_init_floor linear_dt_max linear_dt_min linear_head_dim linear_key_head_dim
    linear_num_heads linear_num_key_heads linear_num_value_heads linear_value_head_dim
    ln_before_adapter local_attn_chunk_length local_num_chunks_after local_num_chunks_before
    log_scaling_n_floor lora_adaptations lora_alpha lora_bias lora_rank_decay lora_rank_gate
    lora_rank_iclr lora_rank_tokenshift lora_rank_value_residual_mix lru_width
    lsh_attn_chunk_length lsh_num_chunks_after lsh_num_chunks_before
    make_ngram_vocab_size_divisible_by mamba_chunk_size mamba_conv_bias mamba_d_conv
    mamba_d_head mamba_d_model mamba_d_ssm mamba_d_state mamba_dt_rank mamba_expand
    mamba_head_dim mamba_hidden_act mamba_n_groups mamba_n_heads mamba_ngroups
    mamba_norm_before_gate mamba_num_heads mamba_proj_bias mamba_rms_norm mamba_ssm_cache_dtype
    mamba_step markov_head_type max_dynamic_patch max_inference_chunksize max_num_patches
    max_patch_length max_pixels max_source_positions max_target_positions max_trained_positions
    median_filter_width mem_len merge_factor min_dynamic_patch min_num_patches min_pixels
    mla_use_nope mlp_hidden_size mlp_only_layers mm_tokens_per_image mode model_dim
    modules_to_save moe_apply_router_weight_on_input moe_every_n_layer moe_every_n_layers
    moe_ffn_hidden_size moe_gating_fp32 moe_intermediate_size moe_k moe_latent_size
    moe_layer_end_index moe_layer_freq moe_layer_interval moe_layer_start_index moe_layers_enum
    moe_norm_min moe_num_active_primary_experts moe_primary_router_apply_softmax moe_renormalize
    moe_routed_scaling_factor moe_router_activation moe_router_activation_func
    moe_router_scaling_factor moe_shared_expert_intermediate_size moe_shared_expert_overlap
    moe_top_k moe_topk mrope_section mtp_hidden_states_first mtp_local_layer_ids
    mtp_mlp_layer_types mtp_share_layers multi_query_group_num mxfp4_block_size n_embd
    n_embd_features n_embd_head_k_mla n_embd_head_v_mla n_embed n_ff n_group n_groups n_head
    n_head_kv n_heads n_inner n_kv_heads n_langs n_layer n_layers n_mamba_heads n_rot n_token
    n_words ngram ngram_vocab_size_base no_bias no_kda_lora norm_before_fc norm_before_residual
    norm_expert_weight norm_reduction_force_float32 norm_topk_prob norm_type normalization
    num_attention_groups num_bits num_blocks num_buckets num_centroids num_channels num_chroma
    num_codebooks num_decoder_attention_heads num_decoder_layers num_dense_layers
    num_encoder_attention_heads num_encoder_layers num_experts_per_tok num_experts_per_token
    num_global_key_value_heads num_groups num_hashes num_heads num_image_with_embedding
    num_kv_heads num_layers num_ln_in_parallel_attn num_mel_bins num_mem_blocks num_query_groups
    num_query_heads num_random_blocks num_transformer_layers o_groups output_embedding_size
    output_gate_type output_size pad_vocab_size_multiple padded_vocab_size patch_in_forward
    patch_size patching_batch_size patching_mode patching_threshold pixel_shuffle_ratio
    ple_conv_kernel_size ple_embed_dim position_bias_max_distance position_bias_num_buckets
    posnet pre_norm prefix_dense_intermediate_size prenorm projection_head_dim projector_bias
    projector_hidden_act projectors_bias prompt_length prompt_mid_dim prompt_types
    pronunciation_embed_dim pronunciation_vocab_size qformat_weight qk_dim_factor qk_head_dim
    qk_nope_head_dim qk_rope_head_dim qkv_bias qkv_proj_bias quant_algo quant_method
    quantized_layers r rel_extent relative_attention_num_buckets relative_max_distance
    return_last_states reuse_len rope_freq_constant rope_type rotary_value route_norm
    route_scale routed_expert_hidden_size routed_scaling_factor router_hidden_size
    router_scaling_factor sam scale_factor scale_resolution scaling_factor sconv_kernel_size
    score_func score_function scoring_func seed segment_types selector_rank selector_top_k
    sequence_kernel shape_embed_dim shape_vocab_size share_encoder_decoder_embeddings
    share_expert_dim shared_expert_combination_strategy shared_expert_intermediate_size
    shared_expert_sink shared_experts_intermediate_size shared_intermediate_size
    short_conv_kernel_size size skip_loop_final_norm spatial_merge_size spatial_target_layers
    spatial_vision_layer speech_mlp_scale_factor split_ngram_parts ssm_in_multiplier
    ssm_multipliers ssm_out_multiplier ssm_state_size stack_factor start_n_top state_dim
    state_size step_kernel strategy summary_activation summary_proj_to_labels summary_type
    summary_use_proj swa_head_dim swa_num_attention_heads swa_num_key_value_heads
    swa_qk_nope_head_dim swa_qk_rope_head_dim swa_v_head_dim target_hidden_size
    task_type_vocab_size text_vocab_size time_step_floor time_step_init_scheme time_step_limit
    time_step_max time_step_min time_step_rank time_step_scale token_classification_bias
    top_k_experts topk_group topk_method type type_vocab_size understand_projector_stride
    unpadded_vocab_size upsample_rates upsampling_ratios use_conv_bias use_dynamic_rsf
    use_expert_bias use_lang_emb use_mems_eval use_mems_train use_ordered_embeddings
    use_qkv_bias use_shared_attention_adapter use_task_id use_weighted_layer_sum v_dim_factor
    v_head_dim v_low_rank_dim vision_feature_layer vision_max_n_token vision_max_wh_ratio
    vision_soft_tokens_per_image vocabulary_map weight_block_size weight_mode width wkv_has_gate
    wkv_version word_embed_proj_dim
""")
# What neither reads, though many files have it.
COMMON = names("""
    tokenizer_class task_specific_params is_llama_config transformers.js_config torchscript
    _attn_implementation_autoset _flash_attn_2_enabled use_bfloat16 pruned_heads
""")


def check_keys(reader: Reader, read: Collection[str] = ()) -> None:
    """Refuse what would change a result and is not supported; name what is not used.

    `read` are keys that the model's family reads beside those of READ.

    Raises:
        ConversionError: it names the key.
    """
    unused, unknown = [], []
    for key, value in reader.config.items():
        if key in read:
            continue
        neutral = NEUTRAL.get(key)
        if neutral is not None and not neutral.holds(value):
            raise reader.bad(key, f"{neutral.text} (others are not supported)", value)
        if key in DETAILS:
            unused.append(key)
        elif neutral is None and key not in READ | WITHOUT_EFFECT | COMMON:
            unknown.append(key)
    say_unused(reader.path, "what this kind of model has no part for", unused)
    say_unused(reader.path, "keys that are not known here", unknown)


def say_unused(path: Path, why: str, keys: list[str], limit: int = 8) -> None:
    """A word about keys that nothing follows from."""
    if keys:
        more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
        shown = ", ".join(f"{key!r:.80}" for key in keys[:limit])
        log.warning("%s: not used, %s: %s%s", path, why, shown, more)
