"""Activations of feed-forward networks: kernels of their own, since a model has but one of them."""

from __future__ import annotations

from halfbyte.kernels.compiler.jit import Kernel, device, kernel_maker
from halfbyte.kernels.vectors.scalars import get_f32
from halfbyte.kernels.vectors.simd import load, mul, store
from halfbyte.kernels.vectors.vector_math import gelu, gelu_tanh, relu_squared, silu, xielu

_OF_FEATURES = {"silu": silu, "gelu": gelu, "gelu_tanh": gelu_tanh, "relu_squared": relu_squared}


@kernel_maker
def activation_kernel(name: str) -> Kernel:
    """gate = activation(gate) * up, or activation(gate) where the network has no gate.

    Arguments: gate, up (0: none), nbytes (of each, whole vectors), curve (xIELU's four numbers).
    """

    def activate_by_curve(gate, up, nbytes, curve):
        alpha_p, alpha_n = get_f32(curve), get_f32(curve + 4)
        beta, eps = get_f32(curve + 8), get_f32(curve + 12)
        for at in range(0, nbytes, 64):
            _put(gate + at, up, at, xielu(load(gate + at), alpha_p, alpha_n, beta, eps))

    if name == "xielu":
        return Kernel(activate_by_curve, "activate_xielu")
    ACTIVATED = _OF_FEATURES[name]

    def activate(gate, up, nbytes, curve):
        for at in range(0, nbytes, 64):
            _put(gate + at, up, at, ACTIVATED(load(gate + at)))

    return Kernel(activate, f"activate_{name}")


@device
def _put(to, up, at, v):
    store(to, mul(v, load(up + at)) if up != 0 else v)
