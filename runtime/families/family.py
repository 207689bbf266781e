"""What a model family is: one file beside this each, all of them in registry.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from halfbyte.families.config import KEYS, Key, ModelConfig
from halfbyte.families.stages import Stage
from halfbyte.families.tensors import TensorSpec
from halfbyte.families.xielu import XIELU_KEYS
from halfbyte.lazy_dataclass import dataclass

if TYPE_CHECKING:
    from halfbyte.families.hf_reader import Reader
    from halfbyte.gguf.file import GGUFFile

# What the configuration classes of transformers have in common.
DEFAULTS: Mapping[str, float | None] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "head_dim": None,  # hidden_size / num_attention_heads
    "rms_norm_eps": 1e-6,
}


@dataclass(frozen=True, slots=True)
class ExpertRules:
    """How a family's experts are stated.

    Attributes:
        hf: field of ExpertsConfig -> config.json's key of it; those that are absent have the
            family's default there, or else the value below or in ExpertsConfig.
            Several names of a key may stand there, with spaces between. `kinds`, a list of
            which layers have them, counts before n_dense_layers; `every` (so many layers one has
            them) and `last` (layer that has) say what `dense_layers` says too.
        gating, normalizes: where nothing says otherwise, in GGUF and config.json alike.
        may_lack: whether there are models of the family without experts.
        switch: config.json's key of whether there are any; "": a kind of model that states how
            many has them.
        is_wide: whether an expert is as wide as the layer, where a GGUF file does not say it;
            else all that are used are so together.
        has_shared: whether there is a shared one as wide as the layer, where it does not say that.
        states_norm: whether llama.cpp reads from a file if scores are divided by their sum; else
            it knows that of the architecture.
    """

    hf: Mapping[str, str]
    gating: str = "softmax"
    normalizes: bool = True
    may_lack: bool = False
    switch: str = ""
    is_wide: bool = False
    has_shared: bool = False
    states_norm: bool = False

    @property
    def hf_keys(self) -> frozenset[str]:
        """All keys of config.json that it reads."""
        return frozenset(" ".join(self.hf.values()).split())


@dataclass(frozen=True, slots=True)
class NextNames:
    """What a checkpoint calls a layer that guesses further ahead (next_layer.py).

    In each name {n} stands for the layer's number, counted on from the model's, and {i} for that
    among those that guess.

    Attributes:
        layer: what the names of its attention and network begin with.
        eh_proj, enorm, hnorm: what joins a token to the state before it, and the norms of both.
        norm, embedding, head: those of its own, which it may lack; "": it never has one.
        adds: what is added to these norms' numbers (TensorSpec.adds).
    """

    layer: str = "model.layers.{n}."
    eh_proj: str = "model.layers.{n}.eh_proj"
    enorm: str = "model.layers.{n}.enorm"
    hnorm: str = "model.layers.{n}.hnorm"
    norm: str = "model.layers.{n}.shared_head.norm"
    embedding: str = "model.layers.{n}.embed_tokens"
    head: str = "model.layers.{n}.shared_head.head"
    adds: float = 0.0


@dataclass(frozen=True, slots=True)
class RecurrentRules:
    """How a family's recurrent layers are stated (states.py).

    Attributes:
        from_gguf, from_hf: give a configuration with what a file, or config.json, says of them, and
            raise the errors of its side.
        kinds_keys: keys of config.json with a kind for each layer, by whose length layers are
            counted where nothing else says how many there are.
    """

    from_gguf: Callable[[GGUFFile, Family, ModelConfig], ModelConfig]
    from_hf: Callable[[Reader, ModelConfig], ModelConfig]
    kinds_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """A way to build a model.

    Attributes:
        architecture: GGUF's name of it.
        rotates_halves: whether q and k in a GGUF file have the order of halves; see tensors.py.
        stages: a model's forward pass, in order.
        tensors: what it takes, in a GGUF file's usual order.
        defaults: config.json's names of it (`model_type`), and what keys are there where they are
            absent, as transformers' configuration classes have it. Only those that have
            `sliding_window` or `max_window_layers` take notice of them.
        only: keys of config.json that may have no other value, and that value.
        experts: how its experts are stated; None: it has none.
        reads: keys of config.json, and of GGUF behind the architecture, that it reads beside those
            of all families.
        own_keys: hyperparameters that have other keys than in most families.
        biases: keys of config.json that say whether there are biases, or norms of heads, and the
            fields that they set; a GGUF file says it by its tensors.
        hf_neighbours: whether a checkpoint has q and k in the order of neighbours already.
        full_every: every so many layers one sees all positions, and those between have the window
            (files may say others), the last of them or, with `full_first`, the first; 0: all
            layers are alike.
        unrotated_every: every so many layers one does not rotate queries and keys; 0: all do.
        rotates_in_windows: whether, in models of it that have a window, the layers with it alone
            rotate queries and keys; others rotate in all layers.
        null_is_no_window: whether a model has none where sliding_window is null, or in no file.
        n_layers_with_window: of the models in which llama.cpp sees the window that a file states;
            0: in all.
        local_theta: the base of rotary embedding in layers with a window, which is not stretched,
            where nothing else is stated; 0: that of the others; None: these are like the others.
        truncates_yarn: see rope.Yarn.
        learned_positions: whether there is a table of positions, behind whose end there are none.
        wide_scores: layers of the one model whose scores are divided by sqrt(dim / n_heads), where
            a GGUF file doesn't say that; 0: there is none.
        heads_key: config.json's key of a list of query heads, one for each layer; "": all layers
            have as many.
        gates_key: its key of how gates are shared; "": there are none.
        has_latents: whether keys and values are compressed (latent.py).
        has_sizes: whether layers differ in more than their windows (layer_sizes.py).
        score_scale: what scores are multiplied by in all models of it; 0: 1 / sqrt(head_dim).
        next_names: how layers that guess further ahead are called; None: they are left out.
        recurrent: how its recurrent layers are stated; None: it has none.
        hf_root: what a checkpoint may call the model in names of tensors, beside "model.".
    """

    architecture: str
    rotates_halves: bool
    stages: Callable[[ModelConfig], Iterator[Stage]]
    tensors: Callable[[ModelConfig], Iterator[TensorSpec]]
    defaults: Mapping[str, Mapping[str, Any]]
    only: Mapping[str, object]
    experts: ExpertRules | None = None
    reads: frozenset[str] = frozenset()
    full_every: int = 0
    full_first: bool = False
    unrotated_every: int = 0
    rotates_in_windows: bool = False
    null_is_no_window: bool = False
    n_layers_with_window: int = 0
    local_theta: float | None = None
    truncates_yarn: bool = True
    learned_positions: bool = False
    wide_scores: int = 0
    heads_key: str = ""
    gates_key: str = ""
    has_latents: bool = False
    has_sizes: bool = False
    score_scale: float = 0.0
    recurrent: RecurrentRules | None = None
    hf_root: str = ""
    own_keys: Mapping[str, Key] = field(default_factory=dict)
    biases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hf_neighbours: bool = False
    next_names: NextNames | None = None

    def sliding_layers(self, n_layers: int) -> tuple[bool, ...]:
        """Which layers have the window, where nothing else is stated; (): all."""
        n, at = self.full_every, 0 if self.full_first else self.full_every - 1
        return tuple(i % n != at for i in range(n_layers)) if n else ()

    def rope_layers(self, n_layers: int, sliding_layers: tuple[bool, ...] = ()) -> tuple[bool, ...]:
        """Which layers rotate queries and keys; (): all.

        `sliding_layers` says which have the window, in a model that has one.
        """
        if self.rotates_in_windows:
            return sliding_layers
        n = self.unrotated_every
        return tuple((i + 1) % n != 0 for i in range(n_layers)) if n else ()

    @property
    def may_lack_window(self) -> bool:
        """Whether some of its models have none: kinds of them, or those that say so."""
        key = KEYS["sliding_window"].hf
        says_so = any(key not in one or "layer_types" in one for one in self.defaults.values())
        return says_so or self.null_is_no_window

    @property
    def has_xielu(self) -> bool:
        """Whether its networks have that activation."""
        return set(XIELU_KEYS.values()) <= self.reads

    @property
    def keys(self) -> Mapping[str, Key]:
        """Where its hyperparameters stand."""
        return {**KEYS, **self.own_keys}

    @property
    def hf_reads(self) -> frozenset[str]:
        """All keys of config.json that it reads beside those of all families."""
        own = {key.hf for key in self.own_keys.values()} | {self.heads_key, self.gates_key} - {""}
        return self.reads | self.only.keys() | self.biases.keys() | own

    @property
    def model_types(self) -> tuple[str, ...]:
        """config.json's names of it."""
        return tuple(self.defaults)
