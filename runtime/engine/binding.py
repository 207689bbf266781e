"""What remembered keys and values depend on besides their tokens: they are of use with it only."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from halfbyte.engine.engine import Engine
from halfbyte.kernels.layouts.kv_pages import PAGE
from halfbyte.lazy_dataclass import dataclass

# What the numbers come from. A change that leaves them as they are costs a cache, which is little.
_SOURCES = ("halfbyte.engine", "halfbyte.families", "halfbyte.kernels")


@dataclass(frozen=True, slots=True)
class Binding:
    """A model, the layout of its pages, and the arithmetic that fills them.

    Attributes:
        model: SHA-256 of its file (model_hash.py).
        layout: of a page: sizes, the type of its numbers, the order of bytes.
        states: where those of recurrent layers lie in a snapshot; empty without such layers.
        arithmetic: of its products, of a window that was asked for, of the sources of what
            computes, and of RoPE's table, which is NumPy's.
    """

    model: str
    layout: dict[str, Any]
    states: str
    arithmetic: str

    @classmethod
    def of(cls, engine: Engine, model: str) -> Binding:
        """That of a loaded model, whose file has that SHA-256."""
        layout = {**asdict(engine.layout), "page": PAGE, "byteorder": sys.byteorder}
        layout = json.loads(json.dumps(layout))  # lists, as a file's header has them
        kept = engine.pages.states
        states = "" if kept is None else json.dumps(asdict(kept.layout))
        digest = hashlib.sha256(_sources_digest())
        digest.update(engine.arithmetic.encode())
        config = engine.config
        digest.update(f"{config.attention_window}, {config.attention_sinks}".encode())
        for begin in (0, 31 * PAGE):
            digest.update(engine.rotation.rows(begin, begin + PAGE).tobytes())
        return cls(model, layout, states, digest.hexdigest())

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that differ where anything does."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def _sources_digest() -> bytes:
    digest = hashlib.sha256()
    for name in _SOURCES:
        spec = find_spec(name)
        assert spec is not None and spec.submodule_search_locations is not None
        root = Path(spec.submodule_search_locations[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{name}/{path.relative_to(root).as_posix()}\0".encode())
            digest.update(path.read_bytes())
    return digest.digest()
