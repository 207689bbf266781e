"""Checkpoints whose weights were quantized already: a method a file, their values read exactly."""
