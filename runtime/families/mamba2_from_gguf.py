"""Mamba-2's layers as a GGUF file states them, and which layers these are.

A layer is one of them that has no KV heads and, where layers are of one kind each and their widths
are listed, is no network. Sources: llama.cpp's src/models/granite-hybrid.cpp and nemotron-h.cpp.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from halfbyte.errors import ModelFileError
from halfbyte.families.config import MAX_DIM, ModelConfig
from halfbyte.families.family import Family
from halfbyte.families.mamba2_config import NO_LIMITS, Mamba2, wanted_sizes
from halfbyte.families.states import MAX_TAPS
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata

# Behind the architecture; the heads stand under the rank that Mamba's steps in time had.
SSM_KEYS = {
    "output_dim": "ssm.inner_size",
    "n_heads": "ssm.time_step_rank",
    "n_state": "ssm.state_size",
    "n_groups": "ssm.group_count",
    "n_taps": "ssm.conv_kernel",
}
ROTATES_KEY = "rope.scaling.finetuned"  # which Granite's hybrids take for a word on rotation
LIMITS_KEY = "halfbyte.ssm_time_step_limits"  # which llama.cpp does not know


def with_mamba2(
    file: GGUFFile, family: Family, config: ModelConfig, *, of_one_kind: bool = False
) -> ModelConfig:
    """A configuration with what a file says of them.

    With `of_one_kind`, each layer is recurrent, or attends, or is a network.

    Raises:
        ModelFileError: a number is missing, out of range, or contradicts another.
    """
    m, n, keys = file.metadata, config.n_layers, family.keys
    key, ff_key = (
        f"{family.architecture}.{keys[one].gguf}" for one in ("n_kv_heads", "hidden_dim")
    )
    heads, widths = _by_layer(m, key, n), _by_layer(m, ff_key, n) if of_one_kind else []
    kinds = [(bool(h), bool(w)) for h, w in zip(heads or [1] * n, widths or [0] * n, strict=True)]
    if (True, True) in kinds and widths:
        expected = f"0 where {key} is not: layers are of one kind each"
        raise ModelFileError(m.path, ff_key, expected=expected, got=widths)
    recurrent = tuple(kind == (False, False) for kind in kinds)
    rotates = ROTATES_KEY not in family.reads or m.get_bool(
        f"{family.architecture}.{ROTATES_KEY}", True
    )
    return replace(
        config,
        recurrent=read_mamba2(m, family),
        recurrent_layers=recurrent,
        attention_layers=tuple(has_keys for has_keys, _ in kinds) if widths else (),
        network_layers=tuple(has_network for _, has_network in kinds) if widths else (),
        rope_layers=config.rope_layers if rotates else (False,) * n,
    )


def read_mamba2(m: Metadata, family: Family) -> Mamba2:
    """The sizes that a file states.

    Raises:
        ModelFileError: a number is missing, out of range, or contradicts another.
    """
    key = {field: f"{family.architecture}.{name}" for field, name in SSM_KEYS.items()}
    count = {field: m.get_int(key[field], minimum=1, maximum=MAX_DIM) for field in key}
    count["n_taps"] = m.get_int(key["n_taps"], minimum=2, maximum=MAX_TAPS)
    inner = count.pop("output_dim")
    if inner % count["n_heads"]:
        expected = f"a multiple of {count['n_heads']} heads"
        raise ModelFileError(m.path, key["output_dim"], expected=expected, got=inner)
    found = Mamba2(head_dim=inner // count["n_heads"], dt_limits=_limits(m), **count)
    if wrong := wanted_sizes(found):
        field, expected, got = wrong
        raise ModelFileError(m.path, key[field], expected=expected, got=got)
    return found


def _limits(m: Metadata) -> tuple[float, float]:
    if LIMITS_KEY not in m:
        return NO_LIMITS
    limits = [float(x) for x in m.get_numbers(LIMITS_KEY, floats=True)]
    if len(limits) != 2 or not 0 <= limits[0] <= limits[1] or math.isinf(limits[0]):
        expected = "two numbers from 0, the lower one first"
        raise ModelFileError(m.path, LIMITS_KEY, expected=expected, got=limits)
    return limits[0], limits[1]


def _by_layer(m: Metadata, key: str, n_layers: int) -> list[int]:
    """A number of each layer; []: all have the same. Behind them may be those of layers ahead."""
    if key not in m or not isinstance(m.raw(key).value, np.ndarray):
        return []
    found: list[int] = m.get_numbers(key, floats=False).tolist()
    if len(found) < n_layers:
        expected = f"one for each of {n_layers} layers"
        raise ModelFileError(m.path, key, expected=expected, got=len(found))
    return found[:n_layers]
