"""Mamba-2's layers as config.json states them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from halfbyte.families.config import MAX_DIM
from halfbyte.families.hf_reader import Reader
from halfbyte.families.mamba2_config import NO_LIMITS, Mamba2, wanted_sizes
from halfbyte.families.states import MAX_TAPS

LIMITS = "time_step_limit"
_ENCODED = "__float__"  # as transformers 5 writes infinity


def read_mamba2(reader: Reader, keys: Mapping[str, str], head_dim: int | None) -> Mamba2:
    """The sizes of a checkpoint.

    Args:
        reader: its config.json.
        keys: field of Mamba2 -> the family's key.
        head_dim: what "auto" says, or None where it says nothing.

    Raises:
        ConversionError: a number is missing, out of range, or contradicts another.
    """

    def count(field: str, least: int, most: int) -> int:
        value = reader.value_of(keys[field])
        if value == "auto" and field == "head_dim" and head_dim is not None:
            return head_dim
        if type(value) is not int or not least <= value <= most:
            raise reader.bad(keys[field], f"a whole number from {least} to {most}", value)
        return value

    sizes = {field: count(field, 1, MAX_DIM) for field in keys if field != "n_taps"}
    found = Mamba2(n_taps=count("n_taps", 2, MAX_TAPS), dt_limits=_limits(reader), **sizes)
    if found.output_dim > MAX_DIM:
        heads = f"{found.n_heads} heads of {found.head_dim}"
        raise reader.bad(keys["head_dim"], f"up to {MAX_DIM} features", heads)
    if wrong := wanted_sizes(found):
        field, expected, got = wrong
        raise reader.bad(keys[field], expected, got)
    return found


def _limits(reader: Reader) -> tuple[float, float]:
    stated = reader.value_of(LIMITS)
    if stated is None:
        return NO_LIMITS
    limits = [_number(one) for one in stated] if isinstance(stated, list) else []
    if len(limits) != 2 or not 0 <= limits[0] <= limits[1] or math.isinf(limits[0]):
        raise reader.bad(LIMITS, "two numbers from 0, the lower one first", stated)
    return limits[0], limits[1]


def _number(stated: Any) -> float:
    """A number; -1 for what is none."""
    if isinstance(stated, dict):
        stated = math.inf if stated == {_ENCODED: "Infinity"} else -1
    is_number = isinstance(stated, (int, float)) and not isinstance(stated, bool)
    return float(stated) if is_number else -1.0


def layer_types(
    reader: Reader, key: str, stated: object, kinds: Mapping[str, str], n_layers: int
) -> list[str]:
    """What each layer is, by a list of names, of which `kinds` has what they are here.

    Raises:
        ConversionError: another name, or another number of layers.
    """
    if not isinstance(stated, list) or not all(
        isinstance(one, str) and one in kinds for one in stated
    ):
        raise reader.bad(key, f"kinds of layers: {', '.join(kinds)}", reader.config.get(key))
    if len(stated) != n_layers:
        raise reader.bad(key, f"one for each of {n_layers} layers", len(stated))
    return [kinds[one] for one in stated]
