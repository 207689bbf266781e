"""Functions that a model may ask for: what callers say of them, and a file for each way to call."""
