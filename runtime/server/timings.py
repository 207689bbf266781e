"""What an answer took, as llama.cpp's clients read it."""

from __future__ import annotations

from halfbyte.generation.completion import Completion


def timings(done: Completion) -> dict[str, float]:
    """Tokens, milliseconds and rates; `cache_n` tokens of the prompt were known.

    Source: llama.cpp, tools/server, `timings` of a completion.
    """
    stats = done.stats
    n_prompt, n_predicted = stats.n_prompt - stats.n_reused, len(done.tokens)
    told: dict[str, float] = {"cache_n": stats.n_reused}
    for name, n, seconds in (
        ("prompt", n_prompt, stats.prefill_s), ("predicted", n_predicted, stats.decode_s),
    ):  # fmt: skip
        told[f"{name}_n"] = n
        told[f"{name}_ms"] = round(1e3 * seconds, 3)
        told[f"{name}_per_token_ms"] = round(1e3 * seconds / n, 3) if n else 0.0
        told[f"{name}_per_second"] = round(n / seconds, 3) if seconds > 0 else 0.0
    if stats.n_drafted:
        told |= {"draft_n": stats.n_drafted, "draft_n_accepted": stats.n_accepted}
    return told
