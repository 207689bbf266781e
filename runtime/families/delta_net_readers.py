"""Gated delta nets as a GGUF file states them, and as config.json does.

Sources: llama.cpp's src/models/qwen35.cpp and conversion/qwen.py, transformers' Qwen3NextConfig.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from halfbyte.errors import ModelFileError
from halfbyte.families.config import MAX_DIM, MAX_LAYERS, ModelConfig
from halfbyte.families.delta_net import FUSED
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.family import Family
from halfbyte.families.hf_reader import Reader
from halfbyte.families.states import MAX_STATE_NBYTES, MAX_TAPS
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata

# Field -> its key in GGUF, behind the architecture, and in config.json.
DELTA_KEYS = {
    "n_taps": ("ssm.conv_kernel", "linear_conv_kernel_dim"),
    "key_dim": ("ssm.state_size", "linear_key_head_dim"),
    "n_key_heads": ("ssm.group_count", "linear_num_key_heads"),
    "n_value_heads": ("ssm.time_step_rank", "linear_num_value_heads"),
    "output_dim": ("ssm.inner_size", ""),
    "value_dim": ("", "linear_value_head_dim"),
}
LAYERS_KEY = "attention.recurrent_layers"  # in GGUF, behind the architecture
EVERY_KEY, EVERY = "full_attention_interval", 4  # on both sides, and where nothing is stated
TILED = ("qwen35", "qwen35moe")  # see DeltaNet
_KINDS = ("linear_attention", "full_attention")  # in config.json
_LANES = 16


def from_gguf(file: GGUFFile, family: Family, config: ModelConfig) -> ModelConfig:
    """A configuration with a file's gated delta nets.

    Raises:
        ModelFileError: a number is missing, out of range, or contradicts another.
    """
    m = file.metadata
    key = {field: f"{family.architecture}.{name}" for field, (name, _) in DELTA_KEYS.items()}
    count = {field: m.get_int(key[field], minimum=1, maximum=MAX_DIM)
             for field, (name, _) in DELTA_KEYS.items() if name}  # fmt: skip
    n, inner = count["n_value_heads"], count.pop("output_dim")
    if inner % n:
        raise ModelFileError(m.path, key["output_dim"], expected=f"a multiple of {n}", got=inner)
    is_fused = any(name.endswith(f".{FUSED}.weight") for name in file.tensors)
    is_tiled = family.architecture in TILED
    made = DeltaNet(
        **count, value_dim=inner // n, is_tiled=is_tiled, is_fused=is_fused and not is_tiled
    )
    key["value_dim"] = key["output_dim"]
    for field, expected, got in _faults(made):
        raise ModelFileError(m.path, key[field], expected=expected, got=got)
    layers = _layers_from_gguf(m, family.architecture, config.n_layers)
    return replace(config, recurrent=made, recurrent_layers=layers)


def from_hf(reader: Reader, config: ModelConfig) -> ModelConfig:
    """A configuration with a checkpoint's.

    Raises:
        ConversionError: a number is missing, out of range, or contradicts another.
    """
    count = {}
    for field, (_, key) in DELTA_KEYS.items():
        if key:
            count[field] = value = reader.value_of(key)
            if type(value) is not int or not 1 <= value <= MAX_DIM:
                raise reader.bad(key, f"a whole number from 1 to {MAX_DIM}", value)
    made = DeltaNet(**count, is_tiled=config.architecture in TILED)
    for field, expected, got in _faults(made):
        raise reader.bad(DELTA_KEYS[field][1], expected, got)
    layers = _layers_from_hf(reader, config.n_layers)
    return replace(config, recurrent=made, recurrent_layers=layers)


def usual_layers(n_layers: int, every: int = EVERY) -> tuple[bool, ...]:
    """Whether each layer is recurrent, where the last of so many has attention."""
    return tuple((i + 1) % every != 0 for i in range(n_layers))


def _layers_from_gguf(m: Metadata, architecture: str, n_layers: int) -> tuple[bool, ...]:
    key, every = f"{architecture}.{LAYERS_KEY}", f"{architecture}.{EVERY_KEY}"
    if key not in m:
        return usual_layers(n_layers, m.get_int(every, EVERY, minimum=1, maximum=MAX_LAYERS))
    stated = m.raw(key).value
    if not isinstance(stated, np.ndarray) or stated.dtype.kind not in "bui":
        raise ModelFileError(m.path, key, expected="a list of truth values", got=stated)
    layers = tuple(bool(one) for one in stated)
    if len(layers) < n_layers or any(layers[n_layers:]):  # behind them those that guess ahead
        expected = f"one for each of {n_layers} layers"
        raise ModelFileError(m.path, key, expected=expected, got=len(layers))
    return layers[:n_layers]


def _layers_from_hf(reader: Reader, n_layers: int) -> tuple[bool, ...]:
    stated = reader.value_of("layer_types")
    if stated is None:
        every = reader.value_of(EVERY_KEY)
        every = EVERY if every is None else every
        if type(every) is not int or not 1 <= every <= MAX_LAYERS:
            raise reader.bad(EVERY_KEY, f"a whole number from 1 to {MAX_LAYERS}", every)
        return usual_layers(n_layers, every)
    if not isinstance(stated, list) or not all(one in _KINDS for one in stated):
        raise reader.bad("layer_types", f"a list of {' and '.join(_KINDS)}", stated)
    if len(stated) != n_layers:
        raise reader.bad("layer_types", f"one for each of {n_layers} layers", len(stated))
    return tuple(one == _KINDS[0] for one in stated)


def _faults(d: DeltaNet) -> list[tuple[str, str, int]]:
    """Which numbers do not run: field, what was expected, what came."""
    faults = []
    if not 2 <= d.n_taps <= MAX_TAPS:
        faults.append(("n_taps", f"a number from 2 to {MAX_TAPS}", d.n_taps))
    if d.n_value_heads % d.n_key_heads:
        wanted = f"a multiple of the {d.n_key_heads} key heads"
        faults.append(("n_value_heads", wanted, d.n_value_heads))
    for field, dim in (("key_dim", d.key_dim), ("value_dim", d.value_dim)):
        if dim % _LANES:
            faults.append((field, f"a multiple of {_LANES} features of each head", dim))
    if d.state_nbytes > MAX_STATE_NBYTES or d.conv_width > MAX_DIM:
        wanted = f"heads whose states take at most {MAX_STATE_NBYTES} bytes a layer"
        faults.append(("key_dim", wanted, d.state_nbytes))
    return faults
