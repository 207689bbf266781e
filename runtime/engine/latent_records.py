"""The records of multi-head latent attention's own stages; attention itself is as everywhere."""

from __future__ import annotations

from halfbyte.engine.buffers import Buffers
from halfbyte.engine.rotation import rotation_words
from halfbyte.engine.stage_words import Words, experts_words, float_word, stage_words
from halfbyte.engine.weights import ModelWeights
from halfbyte.families.config import ModelConfig
from halfbyte.families.latent_stages import KV_NORM, Compress, ProjectHeads, head_widths
from halfbyte.kernels.compiler.jit import Kernel
from halfbyte.kernels.layouts.activations import padded
from halfbyte.kernels.layouts.kv_pages import KVLayout
from halfbyte.kernels.stages import latent, record

_ALL = 1 << 40


def latent_kernels(c: ModelConfig) -> list[Kernel]:
    """What it takes beside attention and matrices' products."""
    return [latent.append_latents, latent.multiply_heads] if c.latent else []


class LatentRecords:
    """Writes them; `tables` keeps what they point at."""

    def __init__(
        self, c: ModelConfig, w: ModelWeights, layout: KVLayout, b: Buffers, tables: list[Words]
    ) -> None:
        self._config, self._weights, self._layout = c, w, layout
        self._buffers, self._tables = b, tables

    def compress(self, stage: Compress) -> Words:
        """The key of each row to the cache, and the rest of its queries."""
        c, m = self._config, self._config.latent
        if m is None:
            raise TypeError(f"{stage}, in a model without compressed keys")
        kv, q, queries = (self._buffers[name] for name in ("kv", "q", "qkv"))
        rotation = rotation_words(c, stage.layer)
        return stage_words(
            record.LATENTS, record.CALL, kernel=latent.append_latents.address, per_row=1, most=_ALL,
            x=kv.address, x_stride=kv.stride, dim=m.kv_lora_rank, eps=float_word(stage.eps),
            weight=self._weights.vectors[stage.tensor(KV_NORM)],
            q=q.address, q_stride=q.stride, q_width=m.qk_dim, q_at=m.nope_dim,
            queries=queries.address, queries_stride=queries.stride, n_heads=c.n_heads,
            head_dim=c.head_dim, layer_at=c.kv_slot(stage.layer) * self._layout.head_nbytes,
            row_nbytes=self._layout.key_nbytes, is_f16=int(self._layout.kv_type == "f16"),
            **rotation,
        )  # fmt: skip

    def attention(self, stage: Compress) -> dict[str, int]:
        """What an attention's record has of the layer beside its kernels."""
        c, rank = self._config, self._layout.latent
        queries, latents = self._buffers["qkv"], self._buffers["latents"]
        return {
            "qkv": queries.address, "qkv_stride": queries.stride, "group": c.group,
            "n_kv_heads": c.n_head_groups, "head_dim": c.head_dim,
            "layer_at": c.kv_slot(stage.layer) * self._layout.head_nbytes,
            "out": latents.address, "out_stride": latents.stride, "out_nbytes": 4 * c.group * rank,
        }  # fmt: skip

    def heads(self, stage: ProjectHeads) -> Words:
        """A matrix for each head."""
        widths, n_heads = head_widths(self._config), self._config.n_heads
        x, y = self._buffers[stage.source], self._buffers[stage.to]
        matrices = self._weights.experts[stage.tensor(stage.weight)]
        self._tables.append(experts_words(matrices))
        one = matrices.first
        return stage_words(
            record.HEADS, record.CALL, kernel=latent.multiply_heads.address, per_row=n_heads,
            most=n_heads, matrices=int(self._tables[-1].ctypes.data), n_heads=n_heads,
            x=x.address, x_stride=x.stride, width=widths[stage.source], dim=one.n_inputs,
            n_blocks=padded(one.n_inputs) // 32, n_rows=one.n_rows,
            y=y.address, y_stride=y.stride, y_width=widths[stage.to],
        )  # fmt: skip
