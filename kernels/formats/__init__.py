"""Tensor types of GGUF: their blocks, and where the codes of a weight lie in them."""
