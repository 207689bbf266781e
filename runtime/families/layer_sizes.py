"""How large the heads and networks of each layer are, and whose keys and values it reads.

In most models all layers are alike. In Laguna's the number of query heads differs; in Gemma 4's
most of it does (LayerSizes).
"""

from __future__ import annotations

from typing import NamedTuple

from halfbyte.families.latent_config import LatentConfig
from halfbyte.families.layer_kinds import LayerKinds
from halfbyte.kernels.layouts.kv_pages import MAX_GROUP
from halfbyte.lazy_dataclass import dataclass

_BLOCK = 32  # features that are rounded together


@dataclass(frozen=True, slots=True)
class LayerSizes:
    """What differs between layers beside their windows.

    Attributes:
        head_dims, n_kv_heads: of each layer; of those that read others' keys, theirs.
        hidden_dims: of each layer's network.
        n_shared: the last so many layers have no keys and values, and read those of the last layer
            before them that has a window if they do, and has none if they do not.
        values_are_keys: whether each layer's values are made of what its keys are made of.
    """

    head_dims: tuple[int, ...]
    n_kv_heads: tuple[int, ...]
    hidden_dims: tuple[int, ...]
    n_shared: int = 0
    values_are_keys: tuple[bool, ...] = ()


def local_dim(sizes: LayerSizes | None, sliding_layers: tuple[bool, ...]) -> int:
    """Features of heads in layers with a window, where sizes differ; else 0."""
    return sizes.head_dims[sliding_layers.index(True)] if sizes and any(sliding_layers) else 0


class Wrong(NamedTuple):
    """A field of LayerSizes that cannot be so."""

    field: str
    expected: str
    got: object


def wanted_sizes(sizes: LayerSizes, n_heads: int, sliding_layers: tuple[bool, ...]) -> Wrong | None:
    """What is wrong with sizes that files state, if anything is."""
    n_own = len(sliding_layers) - sizes.n_shared
    for slides in set(sliding_layers[n_own:]).difference(sliding_layers[:n_own]):
        kind = "with" if slides else "without"
        expected = f"a layer {kind} a window among the first {n_own}, whose keys others read"
        return Wrong("n_shared", expected, f"none, and {sizes.n_shared} layers that share")
    for slides in set(sliding_layers):
        alike = {d for d, own in zip(sizes.head_dims, sliding_layers, strict=True) if own == slides}
        if len(alike) > 1:
            kind = "with" if slides else "without"
            return Wrong("head_dims", f"one number for layers {kind} a window", sorted(alike))
    for n in set(sizes.n_kv_heads):
        if n_heads % n or n_heads // n > MAX_GROUP:
            expected = f"divisors of the {n_heads} heads, from {-(-n_heads // MAX_GROUP)}"
            return Wrong("n_kv_heads", expected, n)
    for d in set(sizes.head_dims):
        if n_heads * d % _BLOCK:  # what lies behind them would be of another layer
            return Wrong("head_dims", f"{n_heads} heads of a multiple of {_BLOCK} features", d)
    return None


class LayerShapes(LayerKinds):
    """What ModelConfig says of layers' sizes; all that it takes are ModelConfig's fields."""

    __slots__ = ()
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    hidden_dim: int
    layer_heads: tuple[int, ...]
    sliding_layers: tuple[bool, ...]
    latent: LatentConfig | None
    sizes: LayerSizes | None

    @property
    def group(self) -> int:
        """Query heads that share a KV head, as many as are attended to at once."""
        if self.latent is None:
            return self.n_heads // self.n_kv_heads
        return max(n for n in range(1, MAX_GROUP + 1) if self.n_heads % n == 0)

    @property
    def n_head_groups(self) -> int:
        """Such groups of query heads."""
        return self.n_heads // self.group

    @property
    def q_dim(self) -> int:
        """Features of a token's queries, the most of any layer."""
        return self.n_heads * max(self.sizes.head_dims if self.sizes else (self.head_dim,))

    @property
    def kv_dim(self) -> int:
        """Features of a token's keys, and of its values, the most of any layer."""
        return max(map(self.kv_dim_of, range(self.n_layers))) if self.sizes else self.kv_dim_of(0)

    @property
    def attended_dim(self) -> int:
        """Features of what attention gives a token."""
        return self.n_heads * self.latent.value_dim if self.latent else self.q_dim

    def heads_of(self, layer: int) -> int:
        """Query heads of a layer."""
        return self.layer_heads[layer] if self.layer_heads else self.n_heads

    def kv_heads_of(self, layer: int) -> int:
        """KV heads of a layer."""
        return self.sizes.n_kv_heads[layer] if self.sizes else self.n_kv_heads

    def head_dim_of(self, layer: int) -> int:
        """Features of a layer's heads."""
        return self.sizes.head_dims[layer] if self.sizes else self.head_dim

    def group_of(self, layer: int) -> int:
        """Query heads of a layer that share a KV head."""
        if self.layer_heads or self.sizes:
            return self.heads_of(layer) // self.kv_heads_of(layer)
        return self.group

    def q_dim_of(self, layer: int) -> int:
        """Features of a token's queries in a layer."""
        return self.heads_of(layer) * self.head_dim_of(layer)

    def kv_dim_of(self, layer: int) -> int:
        """Features of a token's keys in a layer, and of its values."""
        return self.kv_heads_of(layer) * self.head_dim_of(layer)

    def attended_dim_of(self, layer: int) -> int:
        """Features of what attention gives a token in a layer."""
        return self.attended_dim if self.latent else self.q_dim_of(layer)

    def hidden_dim_of(self, layer: int) -> int:
        """Features of a layer's network."""
        return self.sizes.hidden_dims[layer] if self.sizes else self.hidden_dim

    def kv_layer(self, layer: int) -> int:
        """The layer whose keys and values a layer reads: itself, but for those that share."""
        n_own = self.n_layers - (self.sizes.n_shared if self.sizes else 0)
        if self.sizes is None or layer < n_own:
            return layer
        own = [i for i in range(n_own) if self.sliding_layers[i] == self.sliding_layers[layer]]
        return own[-1]

    def has_kv(self, layer: int) -> bool:
        """Whether a layer has keys and values of its own."""
        return self.has_attention(layer) and self.kv_layer(layer) == layer

    def kv_slot(self, layer: int) -> int:
        """Where what a layer reads is among the layers that have keys and values."""
        return sum(map(self.has_kv, range(self.kv_layer(layer))))

    @property
    def n_kv_layers(self) -> int:
        """Layers that have keys and values of their own."""
        return sum(map(self.has_kv, range(self.n_layers)))

    def values_are_keys(self, layer: int) -> bool:
        """Whether a layer's values are made of what its keys are made of."""
        return self.sizes is not None and self.sizes.values_are_keys[layer]
