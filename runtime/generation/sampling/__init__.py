"""Samplers: the filters beside top-k, top-p and min-p, and the chain that applies all of them."""
