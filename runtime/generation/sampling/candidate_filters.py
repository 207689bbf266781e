"""Filters of a chain, each a pure function: which of the candidates stay."""

from __future__ import annotations

import math

import numpy as np

from halfbyte.generation.sampler import F64, I64, top_k_indices

TOP_H_CANDIDATES = 100


def top_n_sigma(logits: F64, n: float) -> F64:
    """Logits in which those more than n standard deviations below the largest are -inf.

    What is -inf already does not count. The candidates stay as many, as in llama.cpp.

    Source: Tang et al., "Top-nσ: Not All Logits Are You Need" (2024), algorithm 1; llama.cpp,
    llama_sampler_top_n_sigma.
    """
    if n <= 0.0 or len(logits) <= 1:
        return logits
    valid = logits[logits != -np.inf]
    limit = valid.max() - n * valid.std()
    return np.where(logits < limit, -np.inf, logits)


def typical_p_indices(probs: F64, p: float) -> I64 | None:
    """Ascending indices of the tokens whose surprise is nearest the entropy; None keeps all.

    The fewest of them whose sum exceeds p; of equally near ones the lowest indices.

    Source: Meister et al., "Locally Typical Sampling" (2022), section 4; llama.cpp,
    llama_sampler_typical.
    """
    if p >= 1.0:
        return None
    with np.errstate(divide="ignore", invalid="ignore", under="ignore"):
        surprise = -np.log(probs)
        entropy = float(np.sum(np.where(probs > 0, probs * surprise, 0.0)))
        nearness = -np.abs(surprise - entropy)
    n = 64  # as top_p_indices: few tokens mostly suffice
    while True:
        ids = top_k_indices(nearness, n)
        ids = ids[np.argsort(-nearness[ids], kind="stable")]
        sums = np.cumsum(probs[ids])
        if sums[-1] > p or n >= len(probs):
            return np.sort(ids[: int(np.searchsorted(sums, p, side="right")) + 1])
        n *= 16


def xtc_indices(probs: F64, threshold: float) -> I64 | None:
    """Ascending indices without the likeliest tokens; None keeps all.

    Of the tokens at least as likely as the threshold, only the least likely one stays (of equals,
    the one with the highest index).

    Source: llama.cpp, llama_sampler_xtc; Philipp Emanuel Weidmann, "Exclude Top Choices" (2024),
    text-generation-webui pull request 6335.
    """
    above = np.flatnonzero(probs >= threshold)
    if threshold > 0.5 or len(above) < 2:
        return None
    least = above[::-1][np.argmin(probs[above[::-1]])]
    is_kept = probs < threshold
    is_kept[least] = True
    return np.flatnonzero(is_kept)


def top_h_indices(probs: F64, h: float) -> I64:
    """Ascending indices of the likeliest tokens whose entropy stays within a share of the whole.

    Of the 100 likeliest, scaled to sum 1: the likeliest one always, then those up to where the sum
    of -p log(p) exceeds h times its sum over all.

    Source: Baghaei Potraghloo et al., "Top-H Decoding" (2025); transformers, TopHLogitsWarper.
    """
    ids = top_k_indices(probs, TOP_H_CANDIDATES)
    ids = ids[np.argsort(-probs[ids], kind="stable")]
    shares = probs[ids] / probs[ids].sum()
    with np.errstate(divide="ignore", invalid="ignore", under="ignore"):
        terms = np.where(shares > 0, -shares * np.log(shares), 0.0)
    sums = np.cumsum(terms)
    return np.sort(ids[: max(int(np.searchsorted(sums, sums[-1] * h, side="right")), 1)])


def cutoff_indices(probs: F64, least: float) -> I64:
    """Ascending indices of the tokens at least so likely, or else of the likeliest ones.

    Source: Hewitt et al., "Truncation Sampling as Language Model Desmoothing" (2022), section 4;
    transformers, EpsilonLogitsWarper.
    """
    return np.flatnonzero(probs >= min(least, probs.max()))


def eta(probs: F64, epsilon: float) -> float:
    """The probability below which eta sampling cuts: lower where the model is unsure.

    Source: as cutoff_indices; transformers, EtaLogitsWarper.
    """
    with np.errstate(under="ignore"):
        positive = probs[probs > 0]
        entropy = -float(np.sum(positive * np.log(positive)))
    return min(epsilon, math.sqrt(epsilon) * math.exp(-entropy))


def dynamic_temperature(probs: F64, temperature: float, range_: float, exponent: float) -> float:
    """A temperature within `range_` of the given one: high where the model is unsure.

    The entropy of the probabilities, as a share of the most that it could be, to the power
    `exponent`, says where in the range; below it ends at 0.

    Source: llama.cpp, llama_sampler_temp_ext; kalomaze, "Dynamic Temperature Sampling" (2023).
    """
    if range_ <= 0.0 or len(probs) <= 1:
        return temperature
    low, high = max(0.0, temperature - range_), temperature + range_
    with np.errstate(under="ignore"):
        positive = probs[probs > 0]
        entropy = -float(np.sum(positive * np.log(positive)))
    share = min(max(entropy / float(np.log(len(probs))), 0.0), 1.0)
    return low + (high - low) * share**exponent
