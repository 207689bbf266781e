"""Which layers of a model are recurrent, which have keys and values, and which a network."""

from __future__ import annotations


class LayerKinds:
    """What ModelConfig tells of its layers; the attributes are its own."""

    __slots__ = ()

    n_layers: int
    recurrent_layers: tuple[bool, ...]
    attention_layers: tuple[bool, ...]
    network_layers: tuple[bool, ...]

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
