"""What a conversion will write, and about what it will take, before anything is written."""

from __future__ import annotations

from collections.abc import Collection

from halfbyte.converting.recipe import KEEP, RECIPES, Recipe, is_exact
from halfbyte.converting.sources.source import Source
from halfbyte.converting.writer import Planned
from halfbyte.errors import ConversionError
from halfbyte.families.config import ModelConfig
from halfbyte.families.per_layer import TABLE
from halfbyte.kernels.formats.block_format import BlockFormat
from halfbyte.kernels.formats.floats import F32
from halfbyte.kernels.formats.mxfp4 import MXFP4
from halfbyte.kernels.formats.nvfp4 import NVFP4
from halfbyte.lazy_dataclass import dataclass
from halfbyte.quality.carried import Carried
from halfbyte.quality.texts import N_WINDOW
from halfbyte.results import Result

MEASURED_WINDOWS = 8  # of the held-out text
CALIBRATED_WINDOWS = 64  # at most, of the text to calibrate on

# In which checkpoints are published, too.
_PUBLISHED = (MXFP4, NVFP4)
# llama.cpp's numbers for files of types that no recipe has.
_NEVER_CHOSEN = {
    "NVFP4": 39, "IQ2_XXS": 19, "IQ2_XS": 20, "IQ3_XXS": 23, "IQ1_S": 24, "IQ3_S": 26, "IQ2_S": 28,
    "IQ1_M": 31,
}  # fmt: skip
_BESIDE = 250_000_000  # bytes that the interpreter, libraries and chunks take
_CHUNK_TOKENS = 4096  # that go through a layer together
_FLOAT = 4


@dataclass(frozen=True, slots=True, repr=False)
class Plan(Result):
    """The tensors of a file to be.

    Attributes:
        tensors: name, shape and format, in the file's order.
        file_type: the number of llama.cpp's enum llama_ftype.
        fallbacks: matrices whose rows do not fit the format that the recipe has for them.
        peak_nbytes: memory that the conversion takes at most, measuring and calibrating left out.
        measuring_nbytes, calibrating_nbytes: memory that these take, about.
        config: the model's shape.
    """

    tensors: tuple[Planned, ...]
    file_type: int
    fallbacks: tuple[str, ...]
    peak_nbytes: int
    measuring_nbytes: int
    calibrating_nbytes: int
    config: ModelConfig

    @property
    def n_weights(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.n_weights for tensor in self.tensors)

    @property
    def nbytes(self) -> int:
        """Bytes of tensor data."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def bits_per_weight(self) -> float:
        """Of all tensors together."""
        return 8 * self.nbytes / self.n_weights

    def __repr__(self) -> str:
        size = f"{self.nbytes / 1e6:.1f} MB, {self.bits_per_weight:.2f} bits per weight"
        return f"Plan({len(self.tensors)} tensors, {size}, {self.peak_nbytes / 1e6:.0f} MB at most)"

    @property
    def measuring_flops(self) -> float:
        """Operations of both models' forward passes."""
        return 2 * 2.0 * self.n_weights * MEASURED_WINDOWS * N_WINDOW

    @property
    def calibrating_flops(self) -> float:
        """Operations of calibrating on CALIBRATED_WINDOWS, from its parts' orders; see gptq.py."""
        tokens = CALIBRATED_WINDOWS * N_WINDOW
        total = 2.5 * 2.0 * self.n_weights * tokens
        for tensor in self.tensors:
            if len(tensor.shape) > 1 and tensor.name != "token_embd.weight":
                k = tensor.shape[-1]
                rows = tensor.n_weights // k
                total += 16.0 * rows * k * k  # feeding forward, fitting and descending
                # H itself, and its factor in double precision; q, k, v share them, gate and up too.
                total += (2.0 * tokens * k * k + 8.0 * k**3) / 2
        return total

    def formats(self) -> dict[str, tuple[int, int, int]]:
        """Format -> (tensors, weights, bytes), the largest first."""
        found: dict[str, tuple[int, int, int]] = {}
        for tensor in self.tensors:
            n, weights, nbytes = found.get(tensor.format.name, (0, 0, 0))
            found[tensor.format.name] = (n + 1, weights + tensor.n_weights, nbytes + tensor.nbytes)
        return dict(sorted(found.items(), key=lambda item: -item[1][2]))


def make_plan(source: Source, type: str, *, pure: bool, calibrates: bool = False) -> Plan:
    """The tensors of `source` with the formats that a type's name gives them.

    With `calibrates` none of those that can only be taken as they are.

    Raises:
        ConversionError: with "keep", tensors that no type holds without rounding.
    """
    published = () if pure else _PUBLISHED[:1] if calibrates else _PUBLISHED
    planned, fallbacks = (
        _kept(source) if type == KEEP else _chosen(source, RECIPES[type], pure, published)
    )
    blocks = {new.name for old, new in zip(source.tensors, planned, strict=True)
              if old.format is new.format}  # fmt: skip
    planned += [Planned(one.name, one.shape, F32) for one in source.keep_blocks(blocks)]
    file_type = _file_type(planned) if type == KEEP else RECIPES[type].file_type
    # Of a table that is looked up rows are read alone.
    largest = _FLOAT * max(one.n_weights for one in planned if one.name != f"{TABLE}.weight")
    measuring, calibrating = _float_nbytes(planned, largest, Carried(source.config).width)
    peak = 2 * largest + _BESIDE
    return Plan(
        tuple(planned), file_type, tuple(fallbacks), peak, measuring, calibrating, source.config
    )


def _chosen(
    source: Source, recipe: Recipe, pure: bool, published: Collection[BlockFormat]
) -> tuple[list[Planned], list[str]]:
    planned, fallbacks = [], []
    for tensor in source.tensors:
        name, shape = tensor.name, tensor.shape
        chosen = recipe.choose(name, shape, source.config, pure=pure)
        own = tensor.format
        if own is not None and own in published and _bits(chosen) >= _bits(own):
            chosen = own  # as the model was published: more bits would hold nothing more
        elif chosen is not recipe.wanted(name, shape, source.config, pure=pure):
            fallbacks.append(name)
        planned.append(Planned(name, shape, chosen))
    return planned, fallbacks


def _bits(fmt: BlockFormat) -> float:
    """Of a weight."""
    return 8 * fmt.block_nbytes / fmt.block_size


def _kept(source: Source) -> tuple[list[Planned], list[str]]:
    """Each tensor in the format that holds its numbers; vectors widened, as everywhere."""
    formats = {t.name: F32 if is_exact(t.name, t.shape) else t.format for t in source.tensors}
    without = [name for name, fmt in formats.items() if fmt is None]
    if without:
        more = f" and {len(without) - 8} more" if len(without) > 8 else ""
        raise ConversionError(
            source.path, "type keep", expected="weights that a type of GGUF holds unrounded",
            got=", ".join(without[:8]) + more, hint="choose a type, such as q8_0",
        )  # fmt: skip
    return [Planned(t.name, t.shape, fmt) for t in source.tensors if (fmt := formats[t.name])], []


def _file_type(tensors: list[Planned]) -> int:
    """That of the format that most weights have."""
    weights: dict[str, int] = {}
    for tensor in tensors:
        name = tensor.format.name
        weights[name] = weights.get(name, 0) + tensor.n_weights
    most = max(weights, key=lambda name: weights[name])
    if most in _NEVER_CHOSEN:
        return _NEVER_CHOSEN[most]
    return next(r.file_type for r in reversed(RECIPES.values()) if r.usual.name == most)


def _float_nbytes(tensors: list[Planned], largest: int, width: int) -> tuple[int, int]:
    """Memory of measuring and of calibrating: weights in floats, hidden states, one Hessian."""
    layers: dict[str, int] = {}
    for tensor in tensors:
        if tensor.name.startswith("blk."):
            layer = tensor.name.split(".")[1]
            layers[layer] = layers.get(layer, 0) + _FLOAT * tensor.n_weights
    held = max([largest, *layers.values()])
    dim = next(t.shape[-1] for t in tensors if t.name == "token_embd.weight")
    widest = max(t.shape[-1] for t in tensors if len(t.shape) > 1 and t.name != f"{TABLE}.weight")
    chunk = _FLOAT * _CHUNK_TOKENS * (3 * widest + 6 * dim)
    state = _FLOAT * N_WINDOW * width
    measuring = 2 * held + 2 * MEASURED_WINDOWS * state + chunk
    # H and its damped copy, and 16 bytes an entry while it is factored.
    hessian = 24 * widest * widest
    calibrating = 2 * held + CALIBRATED_WINDOWS * state + chunk + hessian
    return measuring + _BESIDE, calibrating + _BESIDE
