"""What an answer took, as llama.cpp's clients read it."""

from __future__ import annotations

from halfbyte.generation.completion import Stats


def timings(stats: Stats, n_predicted: int) -> dict[str, float]:
    """Tokens, milliseconds and rates so far; `cache_n` tokens of the prompt were known.

    Source: llama.cpp, tools/server, `timings` of a completion.
    """
    n_prompt = stats.n_prompt - stats.n_reused
    told: dict[str, float] = {"cache_n": stats.n_reused}
    for name, n, seconds in (
        ("prompt", n_prompt, stats.prefill_s), ("predicted", n_predicted, stats.decode_s),
    ):  # fmt: skip
        told |= {
            f"{name}_n": n,
            f"{name}_ms": seconds * 1e3,
            f"{name}_per_token_ms": seconds * 1e3 / n if n else 0.0,
            f"{name}_per_second": n / seconds if seconds > 0 else 0.0,
        }
    if stats.n_drafted:
        told |= {"draft_n": stats.n_drafted, "draft_n_accepted": stats.n_accepted}
    return told
