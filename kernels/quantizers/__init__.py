"""Floats to blocks and back."""
