"""How weights, activations, keys and values lie in memory while they are used."""
