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
    attention_window: int
    attention_sinks: int

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

    def own_window(self, layer: int) -> int:
        """Positions that a token sees in a layer of the model; 0: all before it."""
        return self.sliding_window if not self.sliding_layers or self.sliding_layers[layer] else 0

    def window(self, layer: int) -> int:
        """The same with the window that was asked for, beside which sinks are seen."""
        return self.own_window(layer) or self.attention_window

    def sinks_of(self, layer: int) -> int:
        """First positions that a token sees in a layer, wherever it is, beside its window."""
        return 0 if self.own_window(layer) else self.attention_sinks

    @property
    def longest_window(self) -> int:
        """The most positions that a token sees in any layer, sinks aside; 0: all before it."""
        windows = {self.window(layer) for layer in range(self.n_layers)}
        return 0 if 0 in windows else max(windows)

    @property
    def n_exact(self) -> int:
        """First positions that see all before them, but for the model's own windows, where one was
        asked for: they leave nothing out between it and the sinks. 0: no window was asked for.
        """
        return self.attention_window and self.attention_window + self.attention_sinks
