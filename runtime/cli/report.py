"""Figures as people read them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from halfbyte.printable import printable_json

if TYPE_CHECKING:
    from halfbyte.generation.completion import Stats

_N_PART = 1 << 16  # items of a long list that are written together


def stats_line(stats: Stats, nbytes_per_token: int, *notes: str) -> str:
    """`prompt 512 tok 61.3 tok/s | decode 128 tok 9.8 tok/s 37.2 GB/s | peak 4.3 GB`.

    Decoding a token reads `nbytes_per_token` of weights, so GB/s shows how near the memory's
    limit it is (`halfbyte doctor` measures that); tokens that were guessed right share a reading.
    `notes` are put at the end.
    """
    known = f" ({stats.n_reused} known)" if stats.n_reused else ""
    n_read = stats.n_decode - stats.n_accepted
    read = n_read * nbytes_per_token / stats.decode_s / 1e9 if stats.decode_s > 0 else 0.0
    parts = [
        f"prompt {stats.n_prompt} tok{known} {stats.prefill_tps:.1f} tok/s",
        f"decode {stats.n_decode} tok {stats.decode_tps:.1f} tok/s {read:.1f} GB/s",
    ]
    if stats.n_accepted:
        parts.append(f"{stats.n_accepted} tok guessed")
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
    print(as_json(value))


def print_json_in_parts(values: Mapping[str, object]) -> None:
    """One object on stdout as `print_json` does; a value that is an iterator is a long list."""
    begin = "{"
    for name, value in values.items():
        sys.stdout.write(f"{begin}{as_json(name)}: ")
        sys.stdout.writelines(
            _list_parts(value) if isinstance(value, Iterator) else [as_json(value)]
        )
        begin = ", "
    print("}")


def _list_parts(items: Iterator[object]) -> Iterator[str]:
    begin = "["
    while part := list(islice(items, _N_PART)):
        yield begin + as_json(part)[1:-1]
        begin = ", "
    yield "]" if begin == ", " else "[]"


def error_fields(error: Exception, text: str) -> dict[str, object]:
    """An error for programs: its type, its text and its fields."""
    fields = {name: value for name, value in vars(error).items() if not name.startswith("_")}
    plain = {name: v if isinstance(v, (str, int)) else repr(v) for name, v in fields.items() if v}
    return {"type": type(error).__name__, "message": text, **plain}


def as_json(value: object) -> str:
    """One line of JSON without characters that would steer a terminal."""
    return printable_json(json.dumps(value, ensure_ascii=False, allow_nan=False))
