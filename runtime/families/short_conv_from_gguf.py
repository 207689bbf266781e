"""Short convolutions as a GGUF file states them. Source: llama.cpp's src/models/lfm2.cpp."""

from __future__ import annotations

from dataclasses import replace

from halfbyte.families.config import ModelConfig
from halfbyte.families.family import Family
from halfbyte.families.layers_from_gguf import layers_without_keys
from halfbyte.families.short_conv import IN
from halfbyte.families.short_conv_config import TAPS_KEY, ShortConv
from halfbyte.families.states import MAX_TAPS
from halfbyte.gguf.file import GGUFFile


def with_short_conv(file: GGUFFile, family: Family, config: ModelConfig) -> ModelConfig:
    """A configuration with what a file says of them: layers without KV heads are such layers.

    Raises:
        ModelFileError: a number is missing or out of range.
    """
    key = f"{family.architecture}.{TAPS_KEY}"
    n_taps = file.metadata.get_int(key, minimum=2, maximum=MAX_TAPS)
    layers = layers_without_keys(file, family, config.n_layers)
    has_bias = any(name.endswith(f".{IN}.bias") for name in file.tensors)
    recurrent = ShortConv(config.dim, n_taps, has_bias)
    return replace(config, recurrent=recurrent, recurrent_layers=layers)
