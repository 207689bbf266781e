"""What a server allows: limits and who may ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Attributes:
    n_places: requests that are worked on at a time.
    n_waiting: requests that may wait besides.
    max_body: most bytes of a request's body.
    max_depth: most levels of its JSON.
    max_n: most answers to one request.
    slot_save_path: folder for the files of llama.cpp's /slots; None refuses them.
    timeout: most seconds that an answer may take; None for no limit.
    allows_templates: whether requests may bring templates of their own.
    """

    n_places: int = 32
    n_waiting: int = 256
    max_body: int = 32 << 20
    max_depth: int = 64
    max_n: int = 16
    slot_save_path: Path | None = None
    timeout: float | None = None
    allows_templates: bool = False
