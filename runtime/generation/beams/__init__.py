"""Beam search: the likeliest answers, looked for along several branches at once."""
