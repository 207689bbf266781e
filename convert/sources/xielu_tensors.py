"""xIELU's numbers of a checkpoint, which has each as a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from halfbyte.converting.sources.quantized.checkpoint import HFTensor
from halfbyte.converting.sources.safetensors_file import FLOATS, StoredTensor
from halfbyte.errors import ConversionError
from halfbyte.families.xielu import Xielu

_NAME = "model.layers.{}.mlp.act_fn.{}"


def take_xielu(
    path: Path, tensors: Mapping[str, HFTensor], n_layers: int
) -> tuple[tuple[Xielu, ...], dict[str, HFTensor]]:
    """Those of all layers, and the tensors without them.

    Raises:
        ConversionError: some are missing, or not one finite number each.
    """
    rest = dict(tensors)
    names = [[_NAME.format(i, field) for field in Xielu._fields] for i in range(n_layers)]
    missing = [name for of_layer in names for name in of_layer if name not in rest]
    if missing:
        more = f" and {len(missing) - 4} more" if len(missing) > 4 else ""
        got = f"missing {', '.join(missing[:4])}{more}"
        raise ConversionError(path, "tensors", expected="those of config.json", got=got)
    return tuple(Xielu(*(_number(rest.pop(one)) for one in of_layer)) for of_layer in names), rest


def _number(tensor: HFTensor) -> float:
    if not isinstance(tensor, StoredTensor) or tensor.dtype not in FLOATS:
        got = getattr(tensor, "dtype", "quantized weights")
        raise ConversionError(tensor.path, tensor.name, expected=", ".join(FLOATS), got=got)
    if tensor.shape not in ((), (1,)):
        raise ConversionError(tensor.path, tensor.name, expected="one number", got=tensor.shape)
    value = tensor.floats().item()
    if not np.isfinite(value):
        raise ConversionError(tensor.path, tensor.name, expected="a finite number", got=value)
    return float(value)
