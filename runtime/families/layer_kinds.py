"""Which layers of a model are recurrent, which have keys and values, a network, or a window."""

from __future__ import annotations


class LayerKinds:
    """What ModelConfig tells of its layers; the attributes are its own."""

    __slots__ = ()

    n_layers: int
    recurrent_layers: tuple[bool, ...]
    attention_layers: tuple[bool, ...]
    network_layers: tuple[bool, ...]
    sliding_window: int
    sliding_layers: tuple[bool, ...]

    def is_recurrent(self, layer: int) -> bool:
        """Whether a layer is recurrent."""
        return bool(self.recurrent_layers) and self.recurrent_layers[layer]

    def has_attention(self, layer: int) -> bool:
        """Whether a layer has keys and values."""
        if self.attention_layers:
            return self.attention_layers[layer]
        return not self.is_recurrent(layer)

    def has_network(self, layer: int) -> bool:
        """Whether a layer has a network, or experts."""
        return not self.network_layers or self.network_layers[layer]

    def kv_slot(self, layer: int) -> int:
        """The number of a layer among those that have keys and values."""
        return sum(map(self.has_attention, range(layer)))

    @property
    def n_kv_layers(self) -> int:
        """Layers that have keys and values."""
        return self.kv_slot(self.n_layers)

    def window(self, layer: int) -> int:
        """Positions that a token sees in a layer; 0: all before it."""
        return self.sliding_window if not self.sliding_layers or self.sliding_layers[layer] else 0

    @property
    def longest_window(self) -> int:
        """The most positions that a token sees in any layer; 0: all before it."""
        return 0 if self.sliding_layers and not all(self.sliding_layers) else self.sliding_window
