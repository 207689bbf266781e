"""Rounding by what a text sends through the model."""
