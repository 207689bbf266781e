"""llama.cpp's sampling fields as the keywords of a call.

Only what has an effect is passed on, so that the log is silent about the rest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from halfbyte.generation.sampling.sampler_options import sampler_names
from halfbyte.server.fault import refused
from halfbyte.server.llama_cpp.sampling_schema import SamplingFields
from halfbyte.tokenizer import Tokenizer

_Values = Callable[[str], Any]
_RANDOM_SEED = (1 << 32) - 1  # as llama.cpp writes -1
_ID = re.compile("-?[0-9]{1,18}")  # more digits are a text: Python reads no number of any length


def sampling_options(asked: SamplingFields, tokenizer: Tokenizer) -> dict[str, Any]:
    """The keywords of a call that samples as llama.cpp does with these fields.

    Raises:
        Fault: a bias of a token that does not exist. RequestError: an unknown sampler.
    """
    order = list(sampler_names(asked.order))
    options = _constraint(asked) | _choosing(asked, order)
    biases = token_biases(asked, tokenizer)
    return options | ({"logit_bias": biases} if biases else {})


def _choosing(asked: SamplingFields, order: list[str]) -> dict[str, Any]:
    value = asked.value
    # Without its sampler, a temperature divides nothing.
    temperature = max(value("temperature"), 0.0) if "temperature" in order else 1.0
    options: dict[str, Any] = {"temperature": temperature}
    if temperature and value("seed") not in (-1, _RANDOM_SEED):
        options["seed"] = value("seed")
    if value("mirostat") and temperature:
        return options | {n: value(n) for n in ("mirostat", "mirostat_tau", "mirostat_eta")}
    if temperature == 0.0 and "infill" not in order:
        order = [name for name in order if name in ("penalties", "dry")]
    else:
        options["samplers"] = order
    for name, given in (
        ("penalties", _penalties(value)), ("dry", _dry(value)),
        ("top_k", {"top_k": max(value("top_k"), 0)}), ("top_p", {"top_p": value("top_p")}),
        ("min_p", {"min_p": value("min_p")}), ("typical_p", {"typical_p": value("typical_p")}),
        ("top_n_sigma", {"top_n_sigma": max(value("top_n_sigma"), 0.0)}),
    ):  # fmt: skip
        options |= given if name in order else {}
    return options | (_of_draws(value, order) if temperature else {})


def _of_draws(value: _Values, order: list[str]) -> dict[str, Any]:
    """What means nothing where the likeliest token is taken."""
    options: dict[str, Any] = {}
    if "temperature" in order and value("dynatemp_range"):
        options |= {n: value(n) for n in ("dynatemp_range", "dynatemp_exponent")}
    if "xtc" in order and value("xtc_probability"):
        options |= {n: value(n) for n in ("xtc_probability", "xtc_threshold")}
    if "adaptive_p" in order and value("adaptive_target") >= 0:
        options |= {n: value(n) for n in ("adaptive_target", "adaptive_decay")}
    return options


def _penalties(value: _Values) -> dict[str, Any]:
    given = {
        "repetition_penalty": value("repeat_penalty"),
        "presence_penalty": value("presence_penalty"),
        "frequency_penalty": value("frequency_penalty"),
    }
    if tuple(given.values()) == (1.0, 0.0, 0.0):
        return {}
    return given | {"penalty_window": _window(value("repeat_last_n"))}


def _dry(value: _Values) -> dict[str, Any]:
    if not value("dry_multiplier"):
        return {}
    base = value("dry_base")
    return {
        "dry_multiplier": value("dry_multiplier"), "dry_base": base if base >= 1.0 else 1.75,
        "dry_allowed_length": value("dry_allowed_length"),
        "dry_window": _window(value("dry_penalty_last_n")),
        "dry_sequence_breakers": value("dry_sequence_breakers"),
    }  # fmt: skip


def _window(n: int) -> int | None:
    return None if n < 0 else n


def _constraint(asked: SamplingFields) -> dict[str, Any]:
    """What an answer has to be; of both, the grammar, as in llama.cpp."""
    if asked.grammar:
        return {"grammar": asked.grammar}
    if asked.json_schema is None:
        return {}
    return {"json_schema": {"type": "object"} if asked.json_schema == {} else asked.json_schema}


def token_biases(asked: SamplingFields, tokenizer: Tokenizer) -> dict[int, float]:
    """What is added to tokens' logits; a text stands for each of its tokens.

    Raises:
        Fault: a token that does not exist, or a bias that is none.
    """
    given = asked.logit_bias or []
    pairs = given.items() if isinstance(given, dict) else given
    biases: dict[int, float] = {}
    for key, value in pairs:
        for token in _tokens(key, tokenizer, is_text=isinstance(given, dict)):
            biases[token] = max(min(biases.get(token, 0.0) + _bias(value), 1000.0), -math.inf)
    if asked.ignore_eos:
        biases |= dict.fromkeys(tokenizer.eog_ids, -math.inf)
    return biases


def _tokens(key: Any, tokenizer: Tokenizer, *, is_text: bool) -> list[int]:
    if is_text and isinstance(key, str) and _ID.fullmatch(key):
        key = int(key)
    if isinstance(key, str):
        return tokenizer.encode_fragment(key)
    if isinstance(key, bool) or not isinstance(key, int) or not 0 <= key < tokenizer.n_vocab:
        raise refused("logit_bias", f"ids from 0 to {tokenizer.n_vocab - 1} or texts", key)
    return [key]


def _bias(value: Any) -> float:
    if value is False:
        return -math.inf
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) <= 1000:
        raise refused("logit_bias", "numbers from -1000 to 1000, or false", value)
    return float(value)
