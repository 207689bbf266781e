"""Adapters (LoRA): low-rank changes of a model's matrices, read from folders and files."""
