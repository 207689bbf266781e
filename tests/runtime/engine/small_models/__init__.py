"""Small random models in memory, and their forward pass in float64."""

from .forward import Reference, reference, reference_logits
from .model import Model, Watched, build, run
from .rounding import kept_as
from .shapes import LATENTS, N_CTX, SHAPES, Shape

__all__ = [
    "LATENTS",
    "N_CTX",
    "SHAPES",
    "Model",
    "Reference",
    "Shape",
    "Watched",
    "build",
    "kept_as",
    "reference",
    "reference_logits",
    "run",
]
