"""Weights, caches and buffers, and the steps that run on them."""
