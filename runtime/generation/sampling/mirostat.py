"""Mirostat: candidates are cut so that the surprise of what is drawn stays near a target.

Source: Basu et al., "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity"
(2021), algorithms 1 and 2; llama.cpp, llama_sampler_mirostat and _mirostat_v2, for the constants.
"""

from __future__ import annotations

import math

import numpy as np

from halfbyte.generation.sampler import F64, I64, top_k_indices

_N_ESTIMATED = 100  # likeliest tokens from which version 1 estimates Zipf's exponent


def kept_by_version_1(probs: F64, mu: float, vocab_size: int) -> I64:
    """Ascending indices of the k likeliest, k being what surprise mu allows by Zipf's law."""
    return top_k_indices(probs, _zipf_k(probs, mu, vocab_size))


def kept_by_version_2(probs: F64, mu: float) -> I64:
    """Ascending indices of the tokens whose surprise is at most mu bits; at least the likeliest."""
    with np.errstate(divide="ignore"):
        kept = np.flatnonzero(-np.log2(probs) <= mu)
    return kept if len(kept) else np.array([int(np.argmax(probs))])


def learned(mu: float, prob: float, tau: float, eta: float) -> float:
    """mu after a token of this probability, among those kept, was drawn."""
    return mu - eta * (-math.log2(prob) - tau)


def _zipf_k(probs: F64, mu: float, vocab_size: int) -> int:
    top = np.sort(probs[top_k_indices(probs, _N_ESTIMATED)])[::-1]
    top = top[top > 0]
    if len(top) < 2:
        return 1
    t = np.log(np.arange(2, len(top) + 1) / np.arange(1, len(top)))
    s = float(np.sum(t * np.log(top[:-1] / top[1:])) / np.sum(t * t))
    if s <= 0.0:  # all are equally likely
        return len(probs)
    # k = (epsilon / (1 - N ** -epsilon) * 2 ** mu) ** (1 / s); logarithms do not overflow.
    epsilon, log_n = s - 1.0, math.log(max(vocab_size, 2))
    ratio = epsilon / -math.expm1(-epsilon * log_n) if abs(epsilon) > 1e-12 else 1.0 / log_n
    log_k = (math.log(ratio) + mu * math.log(2.0)) / s
    return len(probs) if log_k >= math.log(len(probs)) else max(int(math.exp(log_k)), 1)
