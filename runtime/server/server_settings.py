"""What a server allows: limits and who may ask."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Literal

from halfbyte.lazy_dataclass import dataclass

LogFormat = Literal["text", "json", "off"]
MetricsAccess = Literal["key", "open", "off"]


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Attributes:
    n_places: requests that are worked on at a time.
    n_waiting: requests that may wait besides.
    max_body: most bytes of a request's body.
    max_depth: most levels of its JSON.
    max_n: most answers to one request.
    slot_save_path: folder for the files of llama.cpp's /slots; None refuses them.
    max_tokens: most tokens of an answer, which ends there; None for what the context holds.
    timeout: most seconds that an answer may take, its waiting included; None for no limit.
    keys: who may ask: the names of keys, by key; empty: everybody.
    hosts: names besides this machine's by which clients may call it; "*" for any.
    origins: of pages in browsers that may ask; "*" for any.
    metrics: who reads /metrics: who has a key, everybody, nobody.
    log_format: of the line that each request gets.
    logs_prompts: whether it has the prompt.
    allows_templates: whether requests may bring templates of their own.
    dropped: what is removed from system messages and prompts.
    """

    n_places: int = 32
    n_waiting: int = 256
    max_body: int = 8 << 20
    max_depth: int = 64
    max_n: int = 16
    slot_save_path: Path | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    metrics: MetricsAccess = "key"
    log_format: LogFormat = "text"
    logs_prompts: bool = False
    allows_templates: bool = False
    dropped: tuple[re.Pattern[str], ...] = ()
