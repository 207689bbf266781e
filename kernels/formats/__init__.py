"""Tensor types of GGUF: their blocks, and where the codes of a weight lie in them.

A type's facts stand in its family's file alone (floats.py, small.py, k.py), in the terms of
block_format.py; registry.py lists them. None of these loads Numba. codes.py reads and writes blocks
by them inside kernels.
"""
