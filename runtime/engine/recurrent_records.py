"""The records of recurrent layers' own stages, by kind, and what they take of memory."""

from __future__ import annotations

from halfbyte.engine.buffers import Buffers
from halfbyte.engine.delta_net_records import delta_record
from halfbyte.engine.mamba2_records import group_norms_record, mamba2_kernels, scan_record
from halfbyte.engine.stage_words import Words, float_word, stage_words
from halfbyte.engine.state_layout import StateLayout
from halfbyte.engine.weights import ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_net import DeltaRule
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.families.mamba2 import GroupNorms, Scan, mamba2_of
from halfbyte.families.mamba2_config import Mamba2
from halfbyte.families.short_conv import CONV, Convolve, short_conv_of
from halfbyte.families.short_conv_config import ShortConv
from halfbyte.families.states import RecurrentStage
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.stages import delta_net, record, short_conv


def recurrent_kernels(c: ModelConfig) -> list[Kernel]:
    """What a model takes beside attention and matrices' products."""
    match c.recurrent:
        case ShortConv():
            return [short_conv.convolve]
        case Mamba2():
            return mamba2_kernels()
        case DeltaNet():
            return [delta_net.delta_net]
    raise TypeError(f"no kernels for {c.recurrent}")


class RecurrentRecords:
    """Writes them."""

    def __init__(self, c: ModelConfig, w: ModelWeights, b: Buffers) -> None:
        self._config, self._weights, self._buffers = c, w, b
        self._states = StateLayout.of(c)

    def record(self, stage: RecurrentStage) -> Words:
        """That of a stage."""
        match stage:
            case Convolve():
                return self._convolve(stage)
            case Scan():
                common = self._common(stage, "zxbcdt")
                return scan_record(stage, mamba2_of(self._config), self._weights.vectors, common)
            case DeltaRule():
                common = self._common(stage, "qkvz")
                return delta_record(stage, self._config, self._weights, common)
        raise TypeError(f"no record for {stage}")

    def group_norms(self, stage: GroupNorms) -> Words:
        """That of norms of what heads have given."""
        c, mixed = self._config, self._buffers["mixed"]
        rows = {"y": mixed.address, "y_stride": mixed.stride, "eps": float_word(c.norm_eps)}
        return group_norms_record(stage, mamba2_of(c), self._weights.vectors, rows)

    def _convolve(self, stage: Convolve) -> Words:
        s, vectors = short_conv_of(self._config), self._weights.vectors
        bias = vectors[stage.tensor(CONV, "bias")] if stage.bias else 0
        return stage_words(
            record.CONVOLVED, record.CALL, kernel=short_conv.convolve.address,
            per_span=short_conv.n_parts(s.dim), **self._common(stage, "bcx"),
            width=s.dim, taps=vectors[stage.tensor(CONV)], taps_stride=4 * padded(s.dim),
            n_taps=s.n_taps, bias=bias,
        )  # fmt: skip

    def _common(self, stage: RecurrentStage, source: str) -> dict[str, int]:
        """What all kinds have: see record.RECURRENT."""
        if self._states is None:
            raise TypeError(f"{stage}, in a model without recurrent layers")
        x, y = self._buffers[source], self._buffers["mixed"]
        rows = {"x": x.address, "x_stride": x.stride, "y": y.address, "y_stride": y.stride}
        return {**rows, **self._states.words(stage.layer)}
