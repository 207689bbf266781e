"""compressed-tensors, as llm-compressor writes it.

A group of settings says which modules it is for, and how their weights are stored. By the format:

    pack-quantized   weight_packed int32 (N, K / n), n = 32 / bits codes a word along the inputs;
                     weight_shape (N, K); codes are signed, stored with half their range added
    int-quantized    weight int8 (N, K)
    float-quantized  weight in 8-bit floats, see float8.py
    nvfp4-pack-quantized  weight_packed U8 (N, K / 2), see nvfp4.py; weight_global_scale, by which
                     numbers are divided
    mxfp4-pack-quantized  weight_packed U8 (N, K / 2), weight_scale U8 (N, K / 32), see mxfp4.py

with `weight_scale` (N, G), (N, 1) or of one number; perhaps `weight_zero_point`, int8 like the
scale or packed along the rows; perhaps `weight_g_idx` (K,).
Source: the compressed-tensors package, its compressors and quant_args.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.converting.sources.quantized.affine import AffineTensor, Codes, Parts, unpacked
from halfbyte.converting.sources.quantized.checkpoint import (
    Checkpoint,
    HFTensor,
    group_index,
    groups_of,
)
from halfbyte.converting.sources.quantized.float8 import (
    FLOAT8,
    drop_activation_scales,
    float8_tensor,
)
from halfbyte.converting.sources.quantized.mxfp4 import mxfp4_matrix
from halfbyte.converting.sources.quantized.nvfp4 import nvfp4_tensor
from halfbyte.converting.sources.safetensors_file import StoredTensor

_INTEGERS = ("pack-quantized", "int-quantized", "naive-quantized")
_FLOATS = ("float-quantized", "naive-quantized")
_NVFP4, _MXFP4 = "nvfp4-pack-quantized", "mxfp4-pack-quantized"

# A pattern is a stranger's: what could take for ever to match matches nothing.
_COSTLY, _REPEATED, _MAX_REPEATED = re.compile(r"\)[*+?{]|\\[1-9]"), re.compile(r"[*+{]"), 3


def read_compressed_tensors(checkpoint: Checkpoint) -> dict[str, HFTensor]:
    """The quantized matrices by their plain names; takes what they are made of.

    Raises:
        ConversionError: another variant, or tensors that do not fit together.
    """
    checkpoint.setting("quantization_status", "compressed", default="compressed")
    for key in ("sparsity_config", "transform_config"):
        value = checkpoint.settings.get(key)
        if value and value != {"format": "dense"}:
            raise checkpoint.unsupported(key, "none", value)
    modules = sorted({*checkpoint.modules("weight_packed"), *checkpoint.modules("weight_scale")})
    found = {f"{module}.weight": _tensor(checkpoint, module) for module in modules}
    drop_activation_scales(checkpoint)
    for module in checkpoint.modules("input_zero_point"):
        checkpoint.drop(f"{module}.input_zero_point")
    return found


def _tensor(checkpoint: Checkpoint, module: str) -> HFTensor:
    group = _group_of(checkpoint, module)
    args = group.get("weights")
    if not isinstance(args, dict):
        raise checkpoint.unsupported("weights", "how weights are stored", args)
    form = group.get("format") or checkpoint.settings.get("format")
    weight = checkpoint.peek(f"{module}.weight")
    if weight is not None and weight.dtype in FLOAT8 and form in _FLOATS:
        block = args.get("block_structure") if args.get("strategy") == "block" else None
        return float8_tensor(checkpoint, module, block)
    if form == _NVFP4:
        return nvfp4_tensor(
            checkpoint, module, "weight_packed", "weight_global_scale", divides=True
        )
    if form == _MXFP4:
        return mxfp4_matrix(checkpoint, module)
    bits, kind = args.get("num_bits"), args.get("type", "int")
    if form not in _INTEGERS or kind != "int" or bits not in (4, 8):
        wanted = "integers of 4 or 8 bits, 8-bit floats, NVFP4 or MXFP4, in formats " + ", ".join(
            dict.fromkeys((*_INTEGERS, *_FLOATS, _NVFP4, _MXFP4))
        )
        raise checkpoint.unsupported("weights", wanted, f"{form}: {kind}, {bits} bits")
    return _integers(checkpoint, module, bits, args)


def _integers(checkpoint: Checkpoint, module: str, bits: int, args: Mapping[str, Any]) -> HFTensor:
    name, half = f"{module}.weight", 1 << (bits - 1)
    shape, weight, codes = _codes(checkpoint, name, bits)
    n_rows, n_inputs = shape
    size = n_inputs
    if args.get("strategy") == "group":
        size = args.get("group_size")
        if type(size) is not int or size < 1:
            raise checkpoint.unsupported("group_size", "a whole number above 0", size)
    elif args.get("strategy") not in ("channel", "tensor"):
        raise checkpoint.unsupported("strategy", "group, channel or tensor", args.get("strategy"))
    n_groups = -(-n_inputs // size)
    scale = checkpoint.take(f"{name}_scale", "F16", "BF16", "F32")
    checkpoint.check_shape(
        scale, (n_rows, n_groups), *(((), (1,), (1, 1), (n_rows,)) if n_groups == 1 else ())
    )
    zero = _zero_points(checkpoint, f"{name}_zero_point", bits, n_rows, n_groups)
    index = groups_of(n_inputs, size)
    if checkpoint.peek(f"{name}_g_idx") is not None:
        order = checkpoint.take(f"{name}_g_idx", "I32", "I64")
        checkpoint.check_shape(order, (n_inputs,))
        if (order.raw() != -1).any():  # -1 all over: groups are in order
            index = group_index(checkpoint, order, n_groups)

    def groups() -> tuple[NDArray[np.float32], NDArray[np.int16], NDArray[np.int64]]:
        scales = np.broadcast_to(scale.floats().reshape(-1, n_groups), (n_rows, n_groups))
        zeros = np.full((n_rows, n_groups), half, np.int16) if zero is None else zero
        return scales, zeros, index

    return AffineTensor(name, shape, Parts(bits, codes, groups, [weight, scale]))


def _codes(checkpoint: Checkpoint, name: str, bits: int) -> tuple[Any, StoredTensor, Any]:
    """A matrix's shape, where its codes are stored, and how to read them."""
    half = 1 << (bits - 1)
    if checkpoint.peek(f"{name}_packed") is None:
        weight = checkpoint.take(name, "I8")
        checkpoint.matrix(weight)

        def plain() -> Codes:
            return (weight.raw().astype(np.int16) + np.int16(half)).astype(np.uint8)

        return weight.shape, weight, plain
    packed = checkpoint.take(f"{name}_packed", "I32")
    stated = checkpoint.take(f"{name}_shape", "I64", "I32")
    checkpoint.check_shape(stated, (2,))
    n_rows, n_inputs = (int(n) for n in stated.raw())
    if min(n_rows, n_inputs) < 1:
        raise checkpoint.bad(stated, "values", "numbers above 0", str((n_rows, n_inputs)))
    checkpoint.check_shape(packed, (n_rows, -(-n_inputs // (32 // bits))))

    def unpack() -> Codes:
        return np.ascontiguousarray(unpacked(packed.raw(), bits)[:, :n_inputs])

    return (n_rows, n_inputs), packed, unpack


def _zero_points(
    checkpoint: Checkpoint, name: str, bits: int, n_rows: int, n_groups: int
) -> NDArray[np.int16] | None:
    """Zero points as codes are counted, from 0; None where there are none."""
    if checkpoint.peek(name) is None:
        return None
    half, n = np.int16(1 << (bits - 1)), 32 // bits
    zero = checkpoint.take(name, "I8", "I32")
    if zero.dtype == "I8":
        whole = ((), (1,), (1, 1), (n_rows,)) if n_groups == 1 else ()
        checkpoint.check_shape(zero, (n_rows, n_groups), *whole)
        plain = zero.raw().astype(np.int16).reshape(-1, n_groups) + half
        return np.broadcast_to(plain, (n_rows, n_groups))
    checkpoint.check_shape(zero, (-(-n_rows // n), n_groups))
    return unpacked(zero.raw().T, bits).T[:n_rows].astype(np.int16)


def _group_of(checkpoint: Checkpoint, module: str) -> Mapping[str, Any]:
    """The settings of a module: of the group that names it or, after that, its class."""
    groups = checkpoint.settings.get("config_groups")
    if not isinstance(groups, dict) or not all(isinstance(g, dict) for g in groups.values()):
        raise checkpoint.unsupported("config_groups", "groups of settings", groups)
    for matches in (_names, _names_class):
        for group in groups.values():
            targets = group.get("targets")
            if isinstance(targets, list) and any(matches(target, module) for target in targets):
                return group
    raise checkpoint.unsupported("config_groups", f"a group for {module}", list(groups))


def _names(target: object, module: str) -> bool:
    if not isinstance(target, str):
        return False
    if not target.startswith("re:"):
        return target == module
    pattern = target[3:]
    if _COSTLY.search(pattern) or len(_REPEATED.findall(pattern)) > _MAX_REPEATED:
        return False
    try:
        return re.match(pattern, module) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def _names_class(target: object, module: str) -> bool:
    return target == "Linear"
