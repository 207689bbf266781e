"""The operations that a forward pass is a list of."""
