"""Which layers of a model are recurrent, and which have keys and values."""

from __future__ import annotations


class LayerKinds:
    """What ModelConfig tells of its layers; the attributes are its own."""

    __slots__ = ()

    n_layers: int
    recurrent_layers: tuple[bool, ...]
    attention_layers: tuple[bool, ...]

    def is_recurrent(self, layer: int) -> bool:
        """Whether a layer is recurrent."""
        return bool(self.recurrent_layers) and self.recurrent_layers[layer]

    def has_attention(self, layer: int) -> bool:
        """Whether a layer has keys and values."""
        if self.attention_layers:
            return self.attention_layers[layer]
        return not self.is_recurrent(layer)

    def kv_slot(self, layer: int) -> int:
        """The number of a layer among those that have keys and values."""
        return sum(map(self.has_attention, range(layer)))

    @property
    def n_kv_layers(self) -> int:
        """Layers that have keys and values."""
        return self.kv_slot(self.n_layers)
