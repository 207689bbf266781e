"""What one step, one stage and one matrix are, as 64-bit words in memory, by name.

A program is a list of stages, one record of STAGE_NBYTES after the other, in the order of the
mathematics. Python writes it once when a model is loaded (engine/program.py); every step walks it
(step.py). A record begins with the operation and goes on with its operands, weights and numbers:
addresses, byte strides and counts that no step changes. What does change stands in the step's own
words. Floats are their bits.

Rows are tokens, or, in the stages behind the last layer, the tokens whose logits are wanted.
"""

from __future__ import annotations

from halfbyte.kernels.vectors.words import words

(
    EMBED, NORM, QUANTIZE, PROJECT, FEED_FORWARD, ROPE, ATTEND, ATTEND_PAGES, MERGE_PAGES, SHRINK,
    CALL
) = range(11)  # fmt: skip
STAGE_NBYTES = 320


# Arguments of a step. `pages` are of each row both words that BLOCK has of them. `rope_rows` are
# the addresses of what each row's position has for rotary embedding (engine/rotation.py), and
# `far_rope_row` is that of queries for the first positions. `abort` is the address of a word: once
# it is not 0, the step ends with the stage that runs, and what it gives is worthless. All records
# are `record_nbytes` long. Addresses of the last three are thread 0's, of every other thread
# scratch_stride bytes further on each.
STEP = words("""
    program n_stages n_tokens tokens positions pages n_blocks blocks n_out out_rows logits
    logits_stride max_chunks n_runs rope_rows far_rope_row n_splits
    applied n_applied n_adapted n_adapted_out abort scratch_stride
    record_nbytes spans n_spans own_normed own_records work
""")
# A block of queries of one sequence: first row, queries, first position, its page addresses (and
# those of layers with a window, where these have blocks of their own). Where pages are dealt out,
# what they give lies at `partials`, from page 0 on.
BLOCK = words("row n_queries position pages windowed partials")
# New tokens of one sequence of a model with recurrent layers: first row, rows; the block of states
# that they go on from (0: nothing was seen) and the one to write, both from multiples of 64 bytes.
# First the `n_kept` tokens of the journal at `kept` are done again, which gives no output. The
# block is that behind the first `n_certain` rows: the others are guesses, which change a thread's
# own copy of a state alone, and are written to `journal`: guess g, in a layer whose record says so,
# to g * token_nbytes + kept_at.
SPAN = words("row n_rows state next kept n_kept journal n_certain")
SPAN_NBYTES = 8 * len(SPAN)

# A matrix: its kernels (matmul.py, bf16_product.py; 0: it has none), where it lies, how long the
# records are that it takes (0: it takes floats), and which kernel takes what.
MATRIX = words("""
    narrow vectors many w n_panels n_units record_nbytes
    narrow_tokens vector_tokens many_tokens may_lack
""")
MATRIX_NBYTES = 8 * len(MATRIX)

# Factors of a matrix (adapt.py), in an adapter's table one after the other for every matrix that
# stages multiply by, in their order; n_groups is 0 where there are none. `group_at` counts the
# groups of ranks of the matrices before it in its stage. The scale is a float.
FACTORS = words("shrink expand a n_blocks b n_groups group_at rank scale")
FACTORS_NBYTES = 8 * len(FACTORS)
# An adapter that some neighbouring rows of a step go through: these rows, as tokens and among those
# whose logits are wanted, and where their inner products lie.
APPLIED = words("row n_rows out_row n_out table scale inner inner_stride")

# `scale` is a float, 0 for none.
EMBEDDING = words("op lookup w n_panels n_units y y_stride dim scale")

# How a single row's input is made by each thread for itself, which takes less time than waiting
# for another's: not at all, by RMSNorm, or only to 8 bits.
AS_IT_IS, NORMED, QUANTIZED = range(3)
# What stages with matrices begin with: the input x, the norm before it, and where the normed floats
# and their records lie. A norm that stands alone (NORM, QUANTIZE) writes these two. `layer_norm` is
# the address of that kernel (layer_norm.py), 0 for RMSNorm; `weight` and `norm_bias` are 0 where a
# norm has none.
INPUT = words("""
    op of_logits prepare x x_stride weight norm_bias layer_norm dim eps n_blocks
    floats floats_stride records
""")
# `finish` is the address of the kernel for products of which something becomes (finish.py), 0 where
# nothing does: a bias, a scale or a cap (floats; a cap of 0 is none). `biases`: the address of a
# table of addresses, one a matrix, or 0. `activation` is a kernel's address (activate.py), `curve`
# that of xIELU's four numbers (alpha_p, alpha_n, beta, eps).
# `shrink` and `expand` are the addresses of what adapters take (adapt.py), 0 where there are none;
# `factors_at`: in an adapter's table, where the matrices' factors begin.
PRODUCT = words(f"""
    {" ".join(INPUT._fields)} matrices n_matrices n_strips y y_stride adds from_records
    finish biases scale cap activation curve shrink expand factors_at
""")

# What a position has for rotary embedding are the cosines and sines of n_rotated features of a
# layer at `rope_at` and, where that is not 0, what queries are multiplied by at `q_scale_at`.
# `sinks`: a logit for each head that takes part in the softmax. `out_nbytes`: what the query heads
# of a group give. Where keys are compressed, `n_kv_heads` counts the groups of heads that are taken
# together, `head_nbytes` is 0, since all share one key, and so is `rope_append`: it is written by
# another stage. `prepare_heads` is the address of what adds biases, norms and scales before that
# (head_inputs.py), 0 where a layer has none of these. `copies_keys`: values are what keys are
# before anything is done to them, in the order in which a file has them. A layer that reads the
# keys of another has neither, and no norms of any. `table_at`: which of a sequence's tables of page
# addresses is the layer's, in bytes behind the first. Where n_first is not 0, queries from position
# n_exact on see so many first positions beside the window, and others all before them
# (attention_sinks.py): those are met by queries at `far`, where `rotate_far` puts them, and what
# they give lies at `given_at` in a thread's work.
ATTENTION = words("""
    op qkv qkv_stride k_at v_at copies_keys q_bias k_bias v_bias q_norm k_norm v_norm eps
    n_kv_heads group head_dim layer_at head_nbytes rope_append attend attend_pages merge_pages
    partial_nbytes out out_stride out_nbytes window table_at
    rope_at n_rotated q_scale_at sinks n_first n_exact attend_first far far_stride given_at
    prepare_heads rotate_far
""")

# A stage whose kernel is compiled alone and called through its address, so that models without it
# have none of its code. Chunks: `per_row` for each row, `most` at most; none below `least_rows`. Or
# `per_span` for each span: chunk c is part c % per_span of span c / per_span.
CALLED = words(f"{' '.join(INPUT._fields)} kernel per_row most least_rows per_span")
_CALLED = " ".join(CALLED._fields)
# y = RMSNorm(x), or y += RMSNorm(x), row by row; then y *= the float at `scale`, 0 for none.
RENORMED = words(f"{_CALLED} y y_stride adds scale")
# Learned positions, which are added to embeddings of `dim` features.
POSITIONS = words(f"{_CALLED} lookup w n_panels n_units y y_stride")
# Which experts take which rows: see routing.py.
PLAN = words("n_active active ids weights rows row_weights")
ACTIVE = words("expert begin n")
ACTIVE_NBYTES = 8 * len(ACTIVE)
ROUTING = words(f"""
    {_CALLED} plan n_experts n_used routed routed_stride gating normalizes scale bias
    logit_bias factors n_groups n_groups_used n_group_best gathered gathered_floats
""")
# `hidden_stride` is 0 where the matrices behind take records. A bias of 0 is none. `fresh`: y is
# what experts give, and not added to.
EXPERTS = words(f"""
    {_CALLED} plan matrices n_experts n_strips gathered gathered_floats hidden hidden_stride
    activation limit gate_bias up_bias y y_stride fresh
""")
# Rows of a table join what is made of embeddings, for `n` layers of `dim` features each; and what
# a layer adds is gated by its own features, at x. Floats: eps, scale.
JOINED = words(f"{_CALLED} y y_stride n scale")
# What attention gave, of which n_features of a row are multiplied, gate_dim of them by each gate.
GATES = words(f"{_CALLED} gates gates_stride y y_stride n_features gate_dim activation")
GATED = words(f"{_CALLED} gate gate_stride source source_stride n y y_stride")
# Compressed keys and values (latent.py): x is [c, k] of a row, `weight` and `dim` of c's norm.
# In a row of q lie heads of `q_width` floats, what is rotated from `q_at` on.
LATENTS = words(f"""
    {_CALLED} q q_stride q_width q_at queries queries_stride n_heads head_dim layer_at row_nbytes
    is_f16 rope_at n_rotated q_scale_at
""")
# A matrix for each head: of the first `dim` of each `width` features of x, the first `n_rows` of
# each `y_width` features of y.
HEADS = words(f"{_CALLED} matrices n_heads width y y_stride y_width n_rows")
# What all recurrent layers have, beside the rows x that they take: where a layer's state lies in a
# block, and its row among a journal's of a token, which are `token_nbytes` long; what they give.
RECURRENT = words(f"{_CALLED} state_at kept_at token_nbytes y y_stride")
_RECURRENT = " ".join(RECURRENT._fields)
# Short convolutions (short_conv.py): rows are [B, C, x] of `width` features each. `taps`: for each
# of n_taps positions, the oldest first, a row of floats, `taps_stride` bytes apart. A `bias` of 0
# is none.
CONVOLVED = words(f"{_RECURRENT} width taps taps_stride n_taps bias")
# Mamba-2 (mamba2.py): rows are [z, x, B, C, dt], and a chunk is n_part heads. `taps` and `bias` are
# the convolution's, as above; of each head there are `a`, `d` and `dt_bias`.
MAMBA2 = words(f"""
    {_RECURRENT} n_heads head_dim n_state n_groups n_part
    taps taps_stride n_taps bias a d dt_bias dt_low dt_high
""")
# RMSNorm of groups of features, in place.
GROUPS = words(f"{_CALLED} n_groups y y_stride")
# Gated delta nets (delta_net.py): `weight` and `eps` are those of the norm of what a head gives;
# taps as above. Value head `part` of a key head has the number head head_step + part part_step; its
# numbers b and a lie at b_at and a_at + head gate_head_step + part gate_part_step in a row.
DELTA_NET = words(f"""
    {_RECURRENT} taps taps_stride n_taps a dt n_key_heads key_dim value_dim n_parts head_step
    part_step b_at a_at gate_head_step gate_part_step z_at
""")
