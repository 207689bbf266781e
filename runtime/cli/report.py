"""Figures as people read them."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from halfbyte.completion import Stats


def stats_line(stats: Stats, nbytes_per_token: int, *notes: str) -> str:
    """`prompt 512 tok 61.3 tok/s | decode 128 tok 9.8 tok/s 37.2 GB/s | peak 4.3 GB`.

    Decoding a token reads `nbytes_per_token` of weights, so GB/s shows how near the memory's
    limit it is (`halfbyte doctor` measures that). `notes` are put at the end.
    """
    read = stats.decode_tps * nbytes_per_token / 1e9
    parts = [
        f"prompt {stats.n_prompt} tok {stats.prefill_tps:.1f} tok/s",
        f"decode {stats.n_decode} tok {stats.decode_tps:.1f} tok/s {read:.1f} GB/s",
    ]
    peak = peak_nbytes()
    if peak is not None:
        parts.append(f"peak {size(peak)}")
    return " | ".join([*parts, *notes])


def size(nbytes: float) -> str:
    """Bytes in the decimal unit that fits."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}"
    return f"{nbytes:.0f} bytes"


def peak_nbytes() -> int | None:
    """The most memory this process has held so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def print_json(value: object) -> None:
    """One line of JSON on stdout."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))
