"""The records of gated delta nets; see kernels/stages/delta_net.py."""

from __future__ import annotations

from halfbyte.engine.stage_words import Words, float_word, stage_words
from halfbyte.engine.weights import ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.delta_net import CONV, DECAY, DT, NORM, DeltaRule, delta_net_of
from halfbyte.families.delta_net_config import DeltaNet
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.stages import delta_net, record


def delta_record(
    stage: DeltaRule, c: ModelConfig, w: ModelWeights, common: dict[str, int]
) -> Words:
    """That of a layer; `common` is what all recurrent layers have (record.RECURRENT)."""
    d = delta_net_of(c)
    return stage_words(
        record.DELTA_NET, record.CALL, kernel=delta_net.delta_net.address, per_span=d.n_key_heads,
        **common, taps=w.vectors[stage.tensor(CONV)], taps_stride=4 * padded(d.conv_width),
        a=w.vectors[stage.tensor(DECAY, "")], dt=w.vectors[stage.tensor(DT, "bias")],
        weight=w.vectors[stage.tensor(NORM)], eps=float_word(c.norm_eps), **delta_places(d),
    )  # fmt: skip


def delta_places(d: DeltaNet) -> dict[str, int]:
    """Where a row has what: bytes, and the numbers of heads."""
    n, parts = d.n_key_heads, d.n_parts
    return {
        "n_taps": d.n_taps, "n_key_heads": n, "key_dim": d.key_dim, "value_dim": d.value_dim,
        "n_parts": parts, "head_step": 1 if d.is_tiled else parts,
        "part_step": n if d.is_tiled else 1, "b_at": 4 * d.b_at, "a_at": 4 * d.a_at,
        "gate_head_step": 4 if d.is_tiled else 8 * parts,
        "gate_part_step": 4 * n if d.is_tiled else 4, "z_at": 4 * d.z_at,
    }  # fmt: skip
