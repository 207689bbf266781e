"""How long the sequences of a model may be."""

from __future__ import annotations

import logging

from halfbyte.call_arguments import is_whole
from halfbyte.errors import RequestError
from halfbyte.families.config import MAX_CTX, ModelConfig
from halfbyte.families.registry import family_of

log = logging.getLogger(__name__)


def check_ctx(ctx: object, config: ModelConfig) -> int:
    """Most tokens of a sequence, of which None says nothing.

    Warns where more are seen at once than in training.

    Raises:
        RequestError: no model, or not this one, has sequences of that length.
    """
    if ctx is None:
        n_ctx = MAX_CTX if config.attention_window else config.n_ctx_train
    elif not is_whole(ctx) or not 2 <= ctx <= MAX_CTX:
        raise RequestError("ctx", expected=f"a whole number from 2 to {MAX_CTX}", got=repr(ctx))
    else:
        n_ctx = int(ctx)
    if n_ctx > config.n_ctx_train and family_of(config).learned_positions:
        wanted = f"at most the {config.n_ctx_train} positions that the model has learned"
        raise RequestError("ctx", expected=wanted, got=n_ctx)
    n_seen = min(n_ctx, config.n_exact or n_ctx)
    if n_seen > config.n_ctx_train:
        name = "ctx" if n_seen == n_ctx else "attention_window + attention_sinks"
        log.warning(
            "%s=%d is beyond the %d tokens that the model was trained with; quality may suffer",
            name, n_seen, config.n_ctx_train,
        )  # fmt: skip
    return n_ctx
