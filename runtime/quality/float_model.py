"""A family's stages in float32 NumPy, with one layer's weights in memory at a time.

It measures and calibrates conversions: many windows of tokens go through a layer together, and
only their hidden states outlive it. There is no cache and there are no quantized activations, so
what differs between two models is their weights alone. What is interpreted is the list that the
engine's compiled step walks (families/stages.py). Numbers too large to be squared are an
EngineError: nothing that is made of them would mean anything.

    B windows of T tokens, b of them at a time; H heads, G kv heads, D head_dim; C features are
    carried from layer to layer (carried.py), of most models dim
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halfbyte.errors import EngineError
from halfbyte.families.expert_stages import ExpertsStage
from halfbyte.families.latent_stages import Compress, ProjectHeads
from halfbyte.families.mamba2 import GroupNorms
from halfbyte.families.per_layer import GateRows
from halfbyte.families.registry import family_of
from halfbyte.families.stages import (
    HEAD_NORMS,
    QUERY_GATE,
    SCALE,
    Attend,
    Embed,
    FeedForward,
    GateAttended,
    Norm,
    PostNorm,
    Project,
    Rope,
    RowNorms,
    Stage,
)
from halfbyte.families.states import RecurrentStage
from halfbyte.families.tensors import ROPE_FACTORS
from halfbyte.quality.activations import activate, gate, soft_cap, split_gates
from halfbyte.quality.carried import Carried, gated, inputs_of_layers
from halfbyte.quality.float_attention import FloatAttention
from halfbyte.quality.float_experts import FloatExperts
from halfbyte.quality.float_latents import FloatLatents
from halfbyte.quality.float_recurrence import FloatRecurrence
from halfbyte.quality.layer_source import F32, LayerSource
from halfbyte.quality.norms import normed, rms_norm
from halfbyte.quality.routing import expert_name, split_name

Ids = NDArray[np.int64]
# Called with the matrices that share inputs, by GGUF name, and these inputs, (tokens, K).
Hook = Callable[[tuple[str, ...], F32], None]

_N_CHUNK_TOKENS = 4096
_LARGEST = np.float32(1e18)  # whose square is a float32


class FloatModel:
    """A model whose layers are read when they are used."""

    def __init__(self, source: LayerSource) -> None:
        self.source, self.config = source, source.config
        self._family = family_of(self.config)
        stages = groupby(self._family.stages(self.config), lambda stage: stage.layer)
        before, *self._layers, self._behind = [list(group) for _, group in stages]
        self._embed, *self._before = before
        self.carried = Carried(self.config)
        factors = {name: source.tensor(name) for name in ROPE_FACTORS if name in source}
        self._factors = {name: values.astype(np.float64) for name, values in factors.items()}

    def groups(self, i: int) -> list[tuple[str, ...]]:
        """The matrices of a layer in the order in which they are needed, by shared inputs.

        Experts' and heads' are named once: all of a name are a tensor (n, rows, inputs).
        """
        return [names for stage in self._layers[i] if (names := _group(stage))]

    def embed(self, ids: Ids, table: F32 | None = None) -> F32:
        """What is carried before the first layer, (B, T, width), for ids (B, T).

        `table` takes the place of the source's embedding.
        """
        if not isinstance(self._embed, Embed):
            raise TypeError(f"{self._embed}: a forward pass begins with an embedding")
        stage = self._embed
        x = (self.source.tensor(stage.tensor(stage.weight)) if table is None else table)[ids]
        if stage.scale != 1:
            x *= np.float32(stage.scale)
        if stage.positions:
            x += self.source.tensor(stage.tensor(stage.positions))[: ids.shape[1]]
        own = inputs_of_layers(self.config, self._before, self.source, ids, x)
        return self.carried.begin(x, own)

    def layer_weights(self, i: int) -> dict[str, F32]:
        """A layer's tensors by short name ("attn_q"), biases as "attn_q.bias"."""
        return self._weights(self._layers[i])

    def layer(self, i: int, w: Mapping[str, F32], x: F32, hook: Hook | None = None) -> None:
        """Send hidden states (B, T, C) through a layer, in place; `hook` sees the inputs."""
        for chunk in chunks(x):
            for names, values in self.layer_steps(i, w, chunk):
                if not names:
                    chunk[:] = values
                elif hook is not None:
                    hook(tuple(_full_name(i, name) for name in names), values)

    def layer_steps(
        self, i: int, w: Mapping[str, F32], x: F32
    ) -> Iterator[tuple[tuple[str, ...], F32]]:
        """One layer, step by step, for a few windows: x (b, T, C), which stays as it is.

        Yields each of its groups with the inputs (b T, K) that its matrices are about to get,
        which are looked up in `w` only afterwards; at last () and the layer's result (b, T, C).
        Experts' groups come once for each expert that has inputs, as `expert_name` has it, and
        heads' once for each head.
        """
        state = _State(self, w, x)
        for stage in self._layers[i]:
            if stage.matrices:
                yield stage.matrices, state.input_of(stage)
            elif isinstance(stage, ExpertsStage):
                for expert, inputs in state.inputs_of_many(stage):
                    yield tuple(expert_name(name, expert) for name in stage.experts), inputs
            state.run(stage)
        yield (), state.carried().reshape(x.shape)

    def logits(self, x: F32, hook: Hook | None = None) -> Iterator[F32]:
        """Logits of hidden states (B, T, C) behind the last layer: (T, vocab), window by window."""
        w = self._weights(self._behind)
        for window in x:
            state = _State(self, w, window[None])
            for stage in self._behind:
                if hook is not None and stage.matrices:
                    names = tuple(stage.tensor(name) for name in stage.matrices)
                    hook(names, state.input_of(stage))
                state.run(stage)
            yield state["logits"]

    def _weights(self, stages: list[Stage]) -> dict[str, F32]:
        """What some stages take, by short name."""
        return {
            name if kind in ("weight", "") else f"{name}.{kind}": self.source.tensor(
                stage.tensor(name, kind)
            )
            for stage in stages
            for name, kind in stage.tensors
            if kind != SCALE or stage.tensor(name, kind) in self.source  # which may be missing
        }

    def rotate(self, x: F32, layer: int) -> F32:
        """Rotary embedding of a window's heads, (heads, T, D), in a layer."""
        rope, d = self.config.rope_of(layer), x.shape[-1]
        if rope is None:
            return x
        factors = self._factors if rope is self.config.rope else {}
        angles = np.outer(np.arange(x.shape[1]), rope.frequencies(d, x.shape[1], factors))
        turns = np.stack([np.cos(angles), np.sin(angles)]) * rope.attention_factor
        cos, sin = turns.astype(np.float32)
        d = rope.n_features or d
        first, second = slice(0, d, 2), slice(1, d, 2)
        if self._family.rotates_halves:
            first, second = slice(0, d // 2), slice(d // 2, d)
        a, b = x[..., first], x[..., second]
        out = x.copy()
        out[..., first] = a * cos - b * sin
        out[..., second] = a * sin + b * cos
        return out


class _State:
    """The buffers between the stages, for a few windows: x (b, T, C)."""

    def __init__(self, model: FloatModel, w: Mapping[str, F32], x: F32) -> None:
        self._model, self._config, self._w = model, model.config, w
        self._n_windows, self._rows = x.shape[0], x.reshape(-1, x.shape[-1])
        if x.shape[-1] > self._config.dim:
            self._rows = self._rows.copy()
        self._buffers: dict[str, Any] = {"x": self._rows[:, : self._config.dim]}
        self._attention = FloatAttention(self._config, w, self._buffers, model, self._n_windows)
        self._experts = FloatExperts(self._config, w, self._buffers)
        self._latents = FloatLatents(self._config, w, self._buffers, model.rotate)
        self._recurrent = FloatRecurrence(self._config, w, self._buffers)

    def __getitem__(self, name: str) -> F32:
        return self._buffers[name]

    def carried(self) -> F32:
        """What goes on to the next layer: (b T, C)."""
        if self._rows.shape[1] == self._config.dim:
            return self["x"]
        self._rows[:, : self._config.dim] = self["x"]
        return self._rows

    def input_of(self, stage: Stage) -> F32:
        """What a stage's matrices are about to get."""
        return self[stage.source if isinstance(stage, Project | FeedForward) else "normed"]

    def inputs_of_many(self, stage: ExpertsStage) -> Iterator[tuple[int, F32]]:
        """The same of experts, or heads, with their numbers."""
        if isinstance(stage, ProjectHeads):
            return self._latents.inputs(stage)
        return self._experts.inputs(stage)

    def run(self, stage: Stage) -> None:
        """One stage.

        Raises:
            EngineError: what it gives is NaN or too large.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            self._run(stage)

    def _run(self, stage: Stage) -> None:
        match stage:
            case Norm():
                x = self[stage.source]
                self._put(stage, "normed", normed(stage, x, self._w, self._config.norm_eps))
            case PostNorm():
                self._post_norm(stage)
            case RowNorms():
                for i, name in enumerate(HEAD_NORMS):
                    qkv = self._buffers["qkv"]
                    qkv[i] = rms_norm(qkv[i], self._w[name], self._config.norm_eps)
            case Project():
                self._project(stage)
            case FeedForward():
                self._feed_forward(stage)
            case Rope():
                self._attention.rope(stage, self._rows)
            case Attend():
                self._put(stage, stage.to, self._attention.attend(stage))
            case GateAttended():
                gates = gate(stage.activation, self["gates"])
                gates = gates.repeat(self._config.gate_dim or 1, axis=1)
                self._put(stage, "attended", self["attended"] * gates)
            case Compress():
                self._buffers["qkv"] = self._latents.compress(stage, self._n_windows)
            case ProjectHeads():
                self._put(stage, stage.to, self._latents.project(stage))
            case GroupNorms():
                self._put(stage, "mixed", self._recurrent.group_norms(stage))
            case GateRows():
                own = self._model.carried.per_layer(self._rows, stage.layer)
                self._put(stage, "gated", gated(stage, self._config, self["gated"], own))
            case RecurrentStage():
                self._put(stage, "mixed", self._recurrent.run(stage, self._n_windows))
            case _:
                made = self._experts.run(stage)
                if made is not None:
                    self._put(stage, getattr(stage, "to", "x"), made)

    def _post_norm(self, stage: PostNorm) -> None:
        made = rms_norm(self[stage.source], self._w[stage.weight], self._config.norm_eps)
        if stage.adds:
            made = self[stage.to] + made
        if stage.scale:
            made *= self._w[stage.scale]
        self._put(stage, stage.to, made)

    def _product(self, source: str, name: str, bias: bool) -> F32:
        made: F32 = self[source] @ self._w[name].T
        return made + self._w[f"{name}.bias"] if bias else made

    def _feed_forward(self, stage: FeedForward) -> None:
        made = [self._product(stage.source, name, stage.bias) for name in stage.matrices]
        first, *rest = np.split(made[0], 2, axis=1) if stage.is_fused else made
        hidden = activate(stage.activation, first, self._config, stage.layer)
        for up in rest:
            hidden *= up
        self._put(stage, "hidden", hidden)

    def _project(self, stage: Project) -> None:
        made = [self._product(stage.source, name, stage.bias) for name in stage.weights]
        if stage.scale != 1:
            made = [y * np.float32(stage.scale) for y in made]
        if stage.softcap:
            made = [soft_cap(y, stage.softcap) for y in made]
        if QUERY_GATE in stage.parts:
            made[0], self._buffers["gates"] = split_gates(made[0], self._config.head_dim)
        if stage.adds:
            made = [self[stage.to] + made[0]]
        self._put(stage, stage.to, *made)

    def _put(self, stage: Stage, name: str, *values: F32) -> None:
        """Fill a buffer, with one array or a list of several."""
        for value in values:
            if not -_LARGEST < value.min() <= value.max() < _LARGEST:
                where = f"layer {stage.layer}" if stage.layer >= 0 else "behind the last layer"
                raise EngineError(
                    f"the model's numbers are not finite or too large: {where}, {name}",
                    hint="its weights are damaged or no model's",
                )
        self._buffers[name] = list(values) if len(values) > 1 else values[0]


def _full_name(layer: int, name: str) -> str:
    name, expert = split_name(name)
    full = f"blk.{layer}.{name}.weight"
    return full if expert is None else expert_name(full, expert)


def _group(stage: Stage) -> tuple[str, ...]:
    return stage.experts if isinstance(stage, ExpertsStage) else stage.matrices


def hidden_states(model: FloatModel, ids: Ids, hook: Hook | None = None) -> F32:
    """Hidden states behind the last layer: float32 (B, T, C) for ids (B, T)."""
    x = model.embed(ids)
    for i in range(model.config.n_layers):
        model.layer(i, model.layer_weights(i), x, hook)
    return x


def chunks(x: F32) -> Iterator[F32]:
    """Views of as many windows as make about `_N_CHUNK_TOKENS` tokens."""
    step = max(1, _N_CHUNK_TOKENS // x.shape[1])
    for begin in range(0, len(x), step):
        yield x[begin : begin + step]
