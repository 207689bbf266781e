"""Multi-head latent attention's own stages in float32 NumPy, for float_model.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from halfbyte.families.config import ModelConfig
from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.latent_stages import KV_NORM, Compress, ProjectHeads, head_widths
from halfbyte.quality.layer_source import F32
from halfbyte.quality.norms import rms_norm


class FloatLatents:
    """What they do of a layer with the weights `w` (by short name), among its `buffers`.

    `rotate` gives a window's heads (heads, T, rope_dim) with rotary embedding, in a layer.
    """

    def __init__(
        self, config: ModelConfig, w: Mapping[str, F32], buffers: dict[str, Any],
        rotate: Callable[[F32, int], F32],
    ) -> None:  # fmt: skip
        self._config, self._w, self._buffers, self._rotate = config, w, buffers, rotate

    def inputs(self, stage: ProjectHeads) -> Iterator[tuple[int, F32]]:
        """What each head's matrix is about to get, (b T, inputs)."""
        n = self._w[stage.weight].shape[-1]
        width = head_widths(self._config)[stage.source]
        heads = self._buffers[stage.source].reshape(-1, self._config.n_heads, width)
        yield from enumerate(heads[..., :n].swapaxes(0, 1))

    def project(self, stage: ProjectHeads) -> F32:
        """All heads side by side, (b T, n_heads rows)."""
        made = [x @ self._w[stage.weight][head].T for head, x in self.inputs(stage)]
        return np.concatenate(made, axis=1)

    def compress(self, stage: Compress, n_windows: int) -> list[list[F32]]:
        """Queries, keys and values of each window: (heads, T, features)."""
        c, m, windows = self._config, self._config.latent, list[list[F32]]()
        assert m is not None
        for parts in zip(*(np.split(self._buffers[name], n_windows)
                           for name in ("qkv", "q", "kv")), strict=True):  # fmt: skip
            windows.append(self._window(stage, m, *parts))
        factors = c.query_factors(0, windows[0][0].shape[1])[:, None].astype(np.float32)
        for window in windows:
            window[0] = window[0] * factors
        return [list(one) for one in zip(*windows, strict=True)]

    def _window(self, stage: Compress, m: LatentConfig, q1: F32, q: F32, kv: F32) -> list[F32]:
        n, n_heads = len(q), self._config.n_heads
        latents = rms_norm(kv[:, : m.kv_lora_rank], self._w[KV_NORM], stage.eps)[None]
        rotated = self._rotate(kv[None, :, m.kv_lora_rank :], stage.layer)
        q2 = q.reshape(n, n_heads, -1)[..., m.nope_dim :].swapaxes(0, 1)
        queries = [q1.reshape(n, n_heads, -1).swapaxes(0, 1), self._rotate(q2, stage.layer)]
        return [np.concatenate(queries, -1), np.concatenate([latents, rotated], -1), latents]
