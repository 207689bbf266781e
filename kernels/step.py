"""The forward pass of a batch of tokens, as one compiled job.

`step` reads top to bottom in the order of the mathematics. Every line that begins with `stage =`
is a stage of the pool (pool.py): its chunks are dealt to the threads, and the next begins when all
are done. Between two stages nothing is exchanged but the buffers below.

A batch is rows of tokens, each with a position and a sequence: a prompt's chunk, one token of
many sequences, or both. Nothing here depends on which; see matmul.py and attention.py for why the
bits do not either.

    T tokens, C dim, Q query features, F hidden_dim, V vocabulary; rows are padded to 32 features
    x           (T, C)          the residual stream
    normed      (T, C)          RMSNorm of x            records  its int8 form, [C / 32][T]
    qkv         (T, Q + 2 KV)   queries, keys, values
    attended    (T, Q)          attention's output      records likewise
    hidden      (T, F)          SiLU(gate) * up, as records where ffn_down is quantized

Where a single token is decoded, each thread makes its own copy of `normed` and `records`: that
takes less time than waiting for another's.
"""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import device, kernel
from halfbyte.kernels.layouts.activations import (
    RECORD_NBYTES,
    quantize_block,
    quantize_row,
    rms_norm_row,
)
from halfbyte.kernels.pool import finish, is_current, share, take
from halfbyte.kernels.products.matmul import WAYS
from halfbyte.kernels.stages.rope import add_bias
from halfbyte.kernels.vectors.calls import (
    call_attention,
    call_lookup,
    call_matmul,
    call_merge,
    call_pages,
    call_rope_append,
)
from halfbyte.kernels.vectors.scalars import get_f32, get_i64
from halfbyte.kernels.vectors.simd import load, mul, store
from halfbyte.kernels.vectors.vector_math import silu

# A matrix, as words in the model table: its kernels (matmul.py; 0: it has none), then the rest.
LINEAR = (*WAYS, "w", "n_panels", "n_units", "is_quantized", "many_tokens", "may_lack")
(_NARROW, _VECTORS, _MANY, _W, _N_PANELS, _N_UNITS, _IS_Q, _MANY_TOKENS,
 _MAY_LACK) = (8 * i for i in range(len(LINEAR)))  # fmt: skip
_LINEAR_NBYTES = 8 * len(LINEAR)

# A layer: two norm weights, the biases of q, k and v (or 0), then its matrices.
VECTORS = ("attn_norm", "ffn_norm", "q_bias", "k_bias", "v_bias")
MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
(_ATTN_NORM, _FFN_NORM, _Q_BIAS, _K_BIAS, _V_BIAS) = (8 * i for i in range(len(VECTORS)))
(_Q, _K, _V, _O, _GATE, _UP, _DOWN) = (
    8 * len(VECTORS) + _LINEAR_NBYTES * i for i in range(len(MATRICES))
)
LAYER_NBYTES = 8 * len(VECTORS) + _LINEAR_NBYTES * len(MATRICES)

# The model table.
MODEL = (
    "n_layers", "layers", "dim", "q_dim", "head_dim", "n_kv_heads", "group", "tile", "norm_eps",
    "head_nbytes", "attention", "attention_pages", "attention_merge", "partial_nbytes",
    "rope_append", "rope_table", "embd_lookup", "embd_w", "embd_n_panels", "embd_n_units",
    "output_norm",
)  # fmt: skip
(_N_LAYERS, _LAYERS, _DIM, _Q_DIM, _HEAD_DIM, _N_KV_HEADS, _GROUP, _TILE, _NORM_EPS,
 _HEAD_NBYTES, _ATTENTION, _ATTENTION_PAGES, _ATTENTION_MERGE, _PARTIAL_NBYTES,
 _ROPE_APPEND, _ROPE_TABLE, _EMBD_LOOKUP, _EMBD_W, _EMBD_N_PANELS, _EMBD_N_UNITS,
 _OUTPUT_NORM) = (8 * i for i in range(len(MODEL)))  # fmt: skip
_OUTPUT = 8 * len(MODEL)
MODEL_NBYTES = _OUTPUT + _LINEAR_NBYTES

# The arguments of one step.
ARGS = (
    "model", "n_tokens", "tokens", "positions", "pages", "n_blocks", "blocks", "n_out", "out_rows",
    "logits", "logits_stride", "max_chunks", "x", "x_stride", "normed", "records", "qkv",
    "qkv_stride", "attended", "attended_stride", "hidden", "hidden_stride", "scratch",
    "scratch_stride", "gate_up_at", "n_splits", "first_page", "partials",
)  # fmt: skip

# A block of queries of one sequence: first row, queries, first position, its page addresses.
BLOCK_WORDS = 4


@device
def _product(linear, begin, end, records, floats, float_stride, n_tokens, y, y_stride, add, tile):
    """Strips begin..end of y = W x, or y += W x: many tokens, the rest by vectors, one alone.

    A tile or a vector kernel takes as long for a few tokens as for all that it has room for.
    """
    n_many = n_vectors = 0
    if get_i64(linear + _MANY) != 0:
        at_once = get_i64(linear + _MANY_TOKENS)
        n_many = (n_tokens + get_i64(linear + _MAY_LACK)) // at_once * at_once
        n_many = min(n_many, n_tokens)
    rest = n_tokens - n_many
    if get_i64(linear + _VECTORS) != 0:
        n_vectors = rest - int(rest % tile == 1)
    _part(linear, _MANY, begin, end, records, floats, float_stride, n_tokens, 0, n_many, y,
          y_stride, add)  # fmt: skip
    _part(linear, _VECTORS, begin, end, records, floats, float_stride, n_tokens, n_many,
          n_vectors, y, y_stride, add)  # fmt: skip
    _part(linear, _NARROW, begin, end, records, floats, float_stride, n_tokens,
          n_many + n_vectors, rest - n_vectors, y, y_stride, add)  # fmt: skip


@device
def _part(linear, way, begin, end, records, floats, float_stride, n_tokens, first, n, y, y_stride,
          add):  # fmt: skip
    """The product for n tokens from `first` on, by one of the matrix's kernels."""
    x, x_stride, token_nbytes = records, n_tokens * RECORD_NBYTES, RECORD_NBYTES
    if get_i64(linear + _IS_Q) == 0:
        x, x_stride, token_nbytes = floats, float_stride, float_stride
    if n > 0:
        call_matmul(get_i64(linear + way), get_i64(linear + _W), get_i64(linear + _N_PANELS),
                    get_i64(linear + _N_UNITS), begin, end, x + first * token_nbytes, x_stride, n,
                    y + first * y_stride, y_stride, add)  # fmt: skip


@device
def _n_strips(linear):
    return get_i64(linear + _N_PANELS) // 2


@device
def _embed(pool, stage, model, tokens, n_tokens, x, x_stride):
    """x = token_embd[tokens]."""
    row = take(pool, stage, n_tokens)
    while row >= 0:
        call_lookup(get_i64(model + _EMBD_LOOKUP), get_i64(model + _EMBD_W),
                    get_i64(model + _EMBD_N_PANELS), get_i64(model + _EMBD_N_UNITS),
                    get_i64(tokens + 8 * row), x + row * x_stride)  # fmt: skip
        finish(pool, stage, n_tokens)
        row = take(pool, stage, n_tokens)
    return stage + 1


@device
def _norm_rows(pool, stage, model, weight, x, x_stride, rows, n_rows, normed, records):
    """normed = RMSNorm(x) and its records, for many rows; a single row is made by its users."""
    if n_rows == 1:
        return stage
    dim, eps = get_i64(model + _DIM), get_f32(model + _NORM_EPS)
    i = take(pool, stage, n_rows)
    while i >= 0:
        row = get_i64(rows + 8 * i) if rows != 0 else i
        out = normed + i * x_stride
        rms_norm_row(x + row * x_stride, weight, dim, eps, out)
        quantize_row(out, (dim + 31) // 32, records + i * RECORD_NBYTES, n_rows * RECORD_NBYTES)
        finish(pool, stage, n_rows)
        i = take(pool, stage, n_rows)
    return stage + 1


@device
def _norm_own(model, weight, x, normed, records):
    """The same for a single row, into the thread's own buffers."""
    dim = get_i64(model + _DIM)
    rms_norm_row(x, weight, dim, get_f32(model + _NORM_EPS), normed)
    quantize_row(normed, (dim + 31) // 32, records, RECORD_NBYTES)


@device
def _project_qkv(pool, stage, model, layer, max_chunks, n_tokens, x, x_stride, normed, records,
                 qkv, qkv_stride):  # fmt: skip
    """qkv = attn_q, attn_k, attn_v of normed, side by side."""
    n_q, n_k = _n_strips(layer + _Q), _n_strips(layer + _K)
    n_strips = n_q + n_k + _n_strips(layer + _V)
    n_chunks = min(n_strips, max_chunks)
    chunk = take(pool, stage, n_chunks)
    if chunk >= 0 and n_tokens == 1:
        _norm_own(model, get_i64(layer + _ATTN_NORM), x, normed, records)
    tile = get_i64(model + _TILE)
    while chunk >= 0:
        begin, end = share(chunk, n_chunks, n_strips), share(chunk + 1, n_chunks, n_strips)
        at = 0
        for i in range(3):
            linear = layer + _Q + i * _LINEAR_NBYTES
            n = _n_strips(linear)
            first, last = max(begin - at, 0), min(end - at, n)
            if first < last:
                _product(linear, first, last, records, normed, x_stride, n_tokens,
                         qkv + at * 128, qkv_stride, 0, tile)  # fmt: skip
            at += n
        finish(pool, stage, n_chunks)
        chunk = take(pool, stage, n_chunks)
    return stage + 1


@device
def _rope_append_head(model, i_layer, k_at, v_at, head, position, pages, at):
    """Add biases, rotate a token's queries and key; key and value of a head go to the cache."""
    layer = get_i64(model + _LAYERS) + i_layer * LAYER_NBYTES
    q_bias, k_bias, v_bias = (
        get_i64(layer + _Q_BIAS), get_i64(layer + _K_BIAS), get_i64(layer + _V_BIAS)
    )  # fmt: skip
    width = get_i64(model + _HEAD_DIM)
    q_width = get_i64(model + _GROUP) * width
    q, k, v = at + head * q_width * 4, at + k_at + head * width * 4, at + v_at + head * width * 4
    if q_bias != 0:
        add_bias(q, q_bias + head * q_width * 4, q_width)
        add_bias(k, k_bias + head * width * 4, width)
        add_bias(v, v_bias + head * width * 4, width)
    page = get_i64(pages + position // 128 * 8)
    in_page = (i_layer * get_i64(model + _N_KV_HEADS) + head) * get_i64(model + _HEAD_NBYTES)
    call_rope_append(get_i64(model + _ROPE_APPEND), q, k, v,
                     get_i64(model + _ROPE_TABLE) + position * width * 4, position,
                     page + in_page)  # fmt: skip


@device
def _rope_append(
    pool, stage, model, i_layer, k_at, v_at, n_tokens, positions, pages, qkv, qkv_stride
):
    """Queries and keys of all tokens are rotated; keys and values go to the cache."""
    n_kv_heads = get_i64(model + _N_KV_HEADS)
    n_chunks = n_tokens * n_kv_heads
    chunk = take(pool, stage, n_chunks)
    while chunk >= 0:
        row, head = chunk // n_kv_heads, chunk % n_kv_heads
        _rope_append_head(model, i_layer, k_at, v_at, head, get_i64(positions + 8 * row),
                          get_i64(pages + 8 * row), qkv + row * qkv_stride)  # fmt: skip
        finish(pool, stage, n_chunks)
        chunk = take(pool, stage, n_chunks)
    return stage + 1


@device
def _attend(pool, stage, model, i_layer, k_at, v_at, n_tokens, n_blocks, blocks, qkv, qkv_stride,
            attended, attended_stride, scratch):  # fmt: skip
    """attended = softmax(q k / sqrt(d)) v, per block of queries and KV head.

    A single token's heads need nothing of each other: each is rotated and appended here too.
    """
    n_kv_heads, head_nbytes = get_i64(model + _N_KV_HEADS), get_i64(model + _HEAD_NBYTES)
    width = get_i64(model + _GROUP) * get_i64(model + _HEAD_DIM) * 4
    n_chunks = n_blocks * n_kv_heads
    chunk = take(pool, stage, n_chunks)
    while chunk >= 0:
        block, head = blocks + chunk // n_kv_heads * 32, chunk % n_kv_heads
        row, position, pages = get_i64(block), get_i64(block + 16), get_i64(block + 24)
        if n_tokens == 1:
            _rope_append_head(model, i_layer, k_at, v_at, head, position, pages, qkv)
        call_attention(get_i64(model + _ATTENTION), qkv + row * qkv_stride + head * width,
                       qkv_stride, get_i64(block + 8), position, pages,
                       (i_layer * n_kv_heads + head) * head_nbytes,
                       attended + row * attended_stride + head * width, attended_stride,
                       scratch)  # fmt: skip
        finish(pool, stage, n_chunks)
        chunk = take(pool, stage, n_chunks)
    return stage + 1


@device
def _attend_split(pool, stage, model, i_layer, position, pages, n_splits, first_page, partials,
                  qkv, attended, scratch):  # fmt: skip
    """The same for a single token whose pages are dealt to the threads; two stages."""
    n_kv_heads, head_nbytes = get_i64(model + _N_KV_HEADS), get_i64(model + _HEAD_NBYTES)
    width = get_i64(model + _GROUP) * get_i64(model + _HEAD_DIM) * 4
    partial_nbytes = get_i64(model + _PARTIAL_NBYTES)
    stride, n_pages = n_kv_heads * partial_nbytes, position // 128 + 1 - first_page
    n_chunks = n_splits * n_kv_heads
    chunk = take(pool, stage, n_chunks)
    while chunk >= 0:
        split, head = chunk // n_kv_heads, chunk % n_kv_heads
        call_pages(get_i64(model + _ATTENTION_PAGES), qkv + head * width, position, pages,
                   (i_layer * n_kv_heads + head) * head_nbytes,
                   first_page + share(split, n_splits, n_pages),
                   first_page + share(split + 1, n_splits, n_pages),
                   partials + head * partial_nbytes, stride, scratch)  # fmt: skip
        finish(pool, stage, n_chunks)
        chunk = take(pool, stage, n_chunks)
    stage += 1
    head = take(pool, stage, n_kv_heads)
    while head >= 0:
        call_merge(get_i64(model + _ATTENTION_MERGE), position, partials + head * partial_nbytes,
                   stride, attended + head * width)  # fmt: skip
        finish(pool, stage, n_kv_heads)
        head = take(pool, stage, n_kv_heads)
    return stage + 1


@device
def _quantize_rows(pool, stage, n_rows, x, x_stride, n_blocks, records):
    """The records of many rows; a single row is made by its users."""
    if n_rows == 1:
        return stage
    row = take(pool, stage, n_rows)
    while row >= 0:
        quantize_row(x + row * x_stride, n_blocks, records + row * RECORD_NBYTES,
                     n_rows * RECORD_NBYTES)  # fmt: skip
        finish(pool, stage, n_rows)
        row = take(pool, stage, n_rows)
    return stage + 1


@device
def _add_product(pool, stage, linear, max_chunks, n_tokens, x, x_stride, own_blocks, records, y,
                 y_stride, tile):  # fmt: skip
    """y += W x; own_blocks > 0: a single row's records are made here first."""
    n_strips = _n_strips(linear)
    n_chunks = min(n_strips, max_chunks)
    chunk = take(pool, stage, n_chunks)
    if chunk >= 0 and own_blocks > 0:
        quantize_row(x, own_blocks, records, RECORD_NBYTES)
    while chunk >= 0:
        _product(linear, share(chunk, n_chunks, n_strips), share(chunk + 1, n_chunks, n_strips),
                 records, x, x_stride, n_tokens, y, y_stride, 1, tile)  # fmt: skip
        finish(pool, stage, n_chunks)
        chunk = take(pool, stage, n_chunks)
    return stage + 1


@device
def _gate_up(pool, stage, model, layer, max_chunks, n_tokens, x, x_stride, normed, records, hidden,
             hidden_stride, scratch):  # fmt: skip
    """hidden = SiLU(ffn_gate normed) * (ffn_up normed), a strip (a block of records) at a time."""
    n_strips, tile = _n_strips(layer + _GATE), get_i64(model + _TILE)
    n_chunks = min(n_strips, max_chunks)
    chunk = take(pool, stage, n_chunks)
    if chunk >= 0 and n_tokens == 1:
        _norm_own(model, get_i64(layer + _FFN_NORM), x, normed, records)
    gate, up = scratch, scratch + n_tokens * 128
    while chunk >= 0:
        for strip in range(share(chunk, n_chunks, n_strips), share(chunk + 1, n_chunks, n_strips)):
            _product(layer + _GATE, strip, strip + 1, records, normed, x_stride, n_tokens,
                     gate - strip * 128, 128, 0, tile)  # fmt: skip
            _product(layer + _UP, strip, strip + 1, records, normed, x_stride, n_tokens,
                     up - strip * 128, 128, 0, tile)  # fmt: skip
            for row in range(n_tokens):
                at = 128 * row
                h0 = mul(silu(load(gate + at)), load(up + at))
                h1 = mul(silu(load(gate + at + 64)), load(up + at + 64))
                if get_i64(layer + _DOWN + _IS_Q) != 0:
                    quantize_block(h0, h1, hidden + (strip * n_tokens + row) * RECORD_NBYTES)
                else:
                    store(hidden + row * hidden_stride + strip * 128, h0)
                    store(hidden + row * hidden_stride + strip * 128 + 64, h1)
        finish(pool, stage, n_chunks)
        chunk = take(pool, stage, n_chunks)
    return stage + 1


@device
def _logits(pool, stage, model, max_chunks, n_out, x, x_stride, normed, records, logits,
            logits_stride):  # fmt: skip
    """logits = output normed."""
    linear = model + _OUTPUT
    n_strips = _n_strips(linear)
    n_chunks = min(n_strips, max_chunks)
    chunk = take(pool, stage, n_chunks)
    if chunk >= 0 and n_out == 1:
        _norm_own(model, get_i64(model + _OUTPUT_NORM), x, normed, records)
    while chunk >= 0:
        _product(linear, share(chunk, n_chunks, n_strips), share(chunk + 1, n_chunks, n_strips),
                 records, normed, x_stride, n_out, logits, logits_stride, 0,
                 get_i64(model + _TILE))  # fmt: skip
        finish(pool, stage, n_chunks)
        chunk = take(pool, stage, n_chunks)
    return stage + 1


@kernel(4)
def step(pool, stage, args, thread):
    """One forward pass; `args` is the address of the words named by ARGS."""
    model, n_tokens, tokens = get_i64(args), get_i64(args + 8), get_i64(args + 16)
    positions, pages = get_i64(args + 24), get_i64(args + 32)
    n_blocks, blocks = get_i64(args + 40), get_i64(args + 48)
    n_out, out_rows = get_i64(args + 56), get_i64(args + 64)
    logits, logits_stride, max_chunks = get_i64(args + 72), get_i64(args + 80), get_i64(args + 88)
    x, x_stride = get_i64(args + 96), get_i64(args + 104)
    normed, records = get_i64(args + 112), get_i64(args + 120)
    qkv, qkv_stride = get_i64(args + 128), get_i64(args + 136)
    attended, attended_stride = get_i64(args + 144), get_i64(args + 152)
    hidden, hidden_stride = get_i64(args + 160), get_i64(args + 168)
    scratch_stride, gate_up_at = get_i64(args + 184), get_i64(args + 192)
    n_splits, first_page, partials = (
        get_i64(args + 200), get_i64(args + 208), get_i64(args + 216)
    )  # fmt: skip
    scratch = get_i64(args + 176) + thread * scratch_stride
    if not is_current(pool, stage):
        return
    first_out = get_i64(out_rows) if n_out > 0 else 0
    own_normed, own_records = scratch, scratch + x_stride
    if n_tokens == 1:
        normed, records = own_normed, own_records
    tile = get_i64(model + _TILE)
    q_blocks = (get_i64(model + _Q_DIM) + 31) // 32
    work = scratch + gate_up_at

    stage = _embed(pool, stage, model, tokens, n_tokens, x, x_stride)
    for i_layer in range(get_i64(model + _N_LAYERS)):
        layer = get_i64(model + _LAYERS) + i_layer * LAYER_NBYTES
        k_at = _n_strips(layer + _Q) * 128
        v_at = k_at + _n_strips(layer + _K) * 128

        # x += attn_output(attention(rope(attn_q n), rope(attn_k n), attn_v n)), n = RMSNorm(x)
        stage = _norm_rows(pool, stage, model, get_i64(layer + _ATTN_NORM), x, x_stride, 0,
                           n_tokens, normed, records)  # fmt: skip
        stage = _project_qkv(pool, stage, model, layer, max_chunks, n_tokens, x, x_stride, normed,
                             records, qkv, qkv_stride)  # fmt: skip
        if n_tokens > 1 or n_splits > 1:
            stage = _rope_append(pool, stage, model, i_layer, k_at, v_at, n_tokens, positions,
                                 pages, qkv, qkv_stride)  # fmt: skip
        if n_splits > 1:
            stage = _attend_split(pool, stage, model, i_layer, get_i64(positions), get_i64(pages),
                                  n_splits, first_page, partials, qkv, attended,
                                  work)  # fmt: skip
        else:
            stage = _attend(pool, stage, model, i_layer, k_at, v_at, n_tokens, n_blocks, blocks,
                            qkv, qkv_stride, attended, attended_stride, work)  # fmt: skip
        stage = _quantize_rows(pool, stage, n_tokens, attended, attended_stride, q_blocks, records)
        stage = _add_product(pool, stage, layer + _O, max_chunks, n_tokens, attended,
                             attended_stride, q_blocks if n_tokens == 1 else 0, records, x,
                             x_stride, tile)  # fmt: skip

        # x += ffn_down(SiLU(ffn_gate n) * (ffn_up n)), n = RMSNorm(x)
        stage = _norm_rows(pool, stage, model, get_i64(layer + _FFN_NORM), x, x_stride, 0,
                           n_tokens, normed, records)  # fmt: skip
        stage = _gate_up(pool, stage, model, layer, max_chunks, n_tokens, x, x_stride, normed,
                         records, hidden, hidden_stride, work)  # fmt: skip
        stage = _add_product(pool, stage, layer + _DOWN, max_chunks, n_tokens, hidden,
                             hidden_stride, 0, hidden, x, x_stride, tile)  # fmt: skip

    # logits = output(RMSNorm(x)), for the rows that are asked for
    if n_out > 0:
        if n_out == 1:
            normed, records = own_normed, own_records
        stage = _norm_rows(pool, stage, model, get_i64(model + _OUTPUT_NORM), x, x_stride,
                           out_rows, n_out, normed, records)  # fmt: skip
        stage = _logits(pool, stage, model, max_chunks, n_out, x + first_out * x_stride, x_stride,
                        normed, records, logits, logits_stride)  # fmt: skip
