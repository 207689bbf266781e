"""The forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from .attention import attention, latent_attention
from .model_file import F64, ModelFile, capped
from .networks import feed_forward
from .recurrence import convolution, delta_net, mamba

_POST = ("post_attention_norm", "post_ffw_norm")
# Families whose post_attention_norm is an ffn_norm.
_LATE_NAMES = ("seed_oss", "glm4moe", "gpt-oss", "qwen3next", "qwen35", "qwen35moe")


class ReferenceModel(ModelFile):
    """A model of the Llama family from a GGUF file."""

    def __new__(cls, path: str | Path) -> ReferenceModel:
        """One of the class that the file's architecture has."""
        from .gemma4 import ReferenceGemma4

        architecture = gguf.GGUFReader(path).fields["general.architecture"].contents()
        return object.__new__(ReferenceGemma4 if architecture == "gemma4" else cls)

    def logits(self, ids: Sequence[int] | NDArray[np.int64]) -> F64:
        """Logits after each token: float64 (len(ids), vocab)."""
        return self._head(self.states(ids))

    def states(self, ids: Sequence[int] | NDArray[np.int64]) -> F64:
        """What the last norm gives: float64 (len(ids), dim)."""
        x = self.weight("token_embd.weight")[np.asarray(ids)] * self.embedding_scale
        if "position_embd.weight" in self.tensors:
            x = x + self.weight("position_embd.weight")[: len(ids)]
        self._begin(np.asarray(ids), x)
        for layer in range(self.n_layers):
            x = self._layer(x, layer)
        own = "token_embd_norm" if "token_embd_norm.weight" in self.tensors else "output_norm"
        return self.norm(own, x)

    def guesses(self, ids: Sequence[int], n: int) -> F64:
        """Logits of the next n tokens by the layer that guesses, each guess after the one before.

        Source: DeepSeek-V3, arXiv:2412.19437, its module for one token more, applied again to what
        it gives; the state of position i goes with token i + 1. float64 (n, vocab).
        """
        at, states, tokens = f"blk.{self.n_layers}.nextn.", self.states(ids[:-1]), list(ids[1:])
        rows = list[F64]()
        for _ in range(n):
            e = self.one_of(at + "embed_tokens", "token_embd")[np.array(tokens)]
            parts = (self.norm(at + "enorm", e), self.norm(at + "hnorm", states))
            x = self._layer(self.linear(at + "eh_proj", np.concatenate(parts, 1)), self.n_layers)
            norm = at + "shared_head_norm"
            y = self.norm(norm if norm + ".weight" in self.tensors else "output_norm", x)
            rows.append(self._head(y[-1:], at + "shared_head_head")[0])
            states = np.concatenate([states, y[-1:]])
            tokens.append(int(rows[-1].argmax()))
        return np.array(rows)

    def _layer(self, x: F64, layer: int) -> F64:
        at = f"blk.{layer}."
        if self.architecture.startswith("nemotron"):  # whose layers do one thing each
            mixes = {at + "ssm_in.weight", at + "attn_q.weight"} & set(self.tensors)
            y = self.norm(at + "attn_norm", x)
            return x + (self._mixing(at, y, layer) if mixes else feed_forward(self, at, y, layer))
        is_late = self.architecture in _LATE_NAMES
        normed = self.norm(at + "attn_norm", x)
        y = self._mixing(at, normed, layer)
        if self.architecture == "cohere2":  # whose network has the same input
            return x + y + feed_forward(self, at, normed, layer)
        x = x + self.residual_scale * (y if is_late else self.norm(at + _POST[0], y))
        y = self.norm(at + (_POST[0] if is_late else "ffn_norm"), x)
        y = self._network(at, x, y, layer)
        x = x + self.residual_scale * self.norm(at + _POST[1], y)
        return self._behind_layer(at, x, layer)

    def _mixing(self, block: str, x: F64, layer: int) -> F64:
        """What a layer makes of its normed input and the positions before."""
        if block + "shortconv.conv.weight" in self.tensors:
            return convolution(self, block, x)
        if block + "ssm_in.weight" in self.tensors:
            return mamba(self, block, x)
        if {block + "ssm_ba.weight", block + "ssm_beta.weight"} & set(self.tensors):
            return delta_net(self, block, x)
        if self.rank:
            return latent_attention(self, block, x)
        return self._attention(block, x, layer)

    def _head(self, x: F64, own: str = "output") -> F64:
        """Logits of normed states."""
        y: F64 = x @ self.one_of(own, "output", "token_embd").T / self.logit_scale
        return capped(y, self.logit_cap)

    def _begin(self, ids: NDArray[np.int64], x: F64) -> None:
        """What is made of the tokens and their embeddings before the first layer."""

    def _attention(self, block: str, x: F64, layer: int) -> F64:
        """What a layer's attention makes of its normed input."""
        return attention(self, block, x, layer)

    def _network(self, block: str, x: F64, y: F64, layer: int) -> F64:
        """A layer's network of x, of which y is the norm."""
        return feed_forward(self, block, y, layer)

    def _behind_layer(self, block: str, x: F64, layer: int) -> F64:
        """What becomes of a layer's result."""
        return x
