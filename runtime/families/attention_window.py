"""A window that somebody asks for: a model that sees all before a position sees its last positions
and its first ones, the sinks, so that it can go on without end (StreamingLLM: Xiao et al.,
arXiv:2309.17453).

It is not what the model was trained for, and no more than an approximation of it: what lies between
is forgotten. As long as a text fits into both, nothing changes. Behind that, distances within the
window are right, as keys stay rotated for their own positions; the sinks are seen as if nothing lay
between them and the window, so that no distance is greater than both are long.
"""

from __future__ import annotations

from dataclasses import replace

from halfbyte.call_arguments import is_whole
from halfbyte.errors import RequestError
from halfbyte.families.config import MAX_CTX, ModelConfig
from halfbyte.families.registry import family_of
from halfbyte.kernels.layouts.kv_pages import PAGE

DEFAULT_SINKS = 4  # as the paper found enough
MAX_SINKS = PAGE  # they lie in a sequence's first page


def check_window(window: object, sinks: object) -> tuple[int, int]:
    """Both numbers as `load` is given them: 0, 0 where no window is wanted.

    Raises:
        RequestError: one is out of range, or sinks are wanted without a window.
    """
    if window is None:
        if sinks is not None:
            expected = "None: sinks are seen beside attention_window, which is not given"
            raise RequestError("attention_sinks", expected=expected, got=repr(sinks))
        return 0, 0
    if not is_whole(window) or not 1 <= window <= MAX_CTX // 2:
        expected = f"a whole number of positions from 1 to {MAX_CTX // 2}"
        raise RequestError("attention_window", expected=expected, got=repr(window))
    n = DEFAULT_SINKS if sinks is None else sinks
    if not is_whole(n) or not 0 <= n <= MAX_SINKS:
        expected = f"a whole number of positions from 0 to {MAX_SINKS}"
        raise RequestError("attention_sinks", expected=expected, got=repr(sinks))
    return int(window), int(n)


def with_window(config: ModelConfig, window: int, sinks: int) -> ModelConfig:
    """The model with a window in all layers that have none; as it is where `window` is 0.

    Raises:
        RequestError: it cannot go on like that; says why.
    """
    if not window:
        return config
    if why := why_no_window(config):
        raise RequestError("attention_window", expected=f"None: {why}", got=window)
    return replace(config, attention_window=window, attention_sinks=sinks)


def why_no_window(config: ModelConfig) -> str:
    """Why a model cannot have one; "" where it can."""
    if family_of(config).learned_positions:
        return f"the model has learned {config.n_ctx_train} positions, and knows no others"
    if config.latent is not None:
        return "queries for compressed keys (MLA) are rotated for their own positions only"
    if config.recurrent is not None:
        return "a model with recurrent layers goes on from states, and keeps all keys beside them"
    if all(config.own_window(layer) for layer in range(config.n_layers)):
        return f"all layers have a window of {config.sliding_window} positions as it is"
    return ""
