"""`POST /slots/{id}?action=`: what is remembered of prompts, written, read and forgotten.

Slots share one memory here, so that any number means all of it; with keys each has its own, and
files of its own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from halfbyte.cache_scope import current_scope
from halfbyte.errors import CacheFileError
from halfbyte.model import Model
from halfbyte.server.exchange import Exchange
from halfbyte.server.fault import Fault
from halfbyte.server.fields import Fields
from halfbyte.server.llama_cpp.llama_shapes import model_of
from halfbyte.server.protocol import Route
from halfbyte.server.reply import Json, Reply

# No name that begins with a dot, which may hide it or lead elsewhere.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


class SlotFields(Fields):
    """The body."""

    model: str | None = None
    filename: str | None = None


async def act_on_slot(exchange: Exchange, asked: SlotFields) -> Reply:
    """Save, restore or erase."""
    folder = _folder(exchange)
    if folder is None:
        message = "This server does not support slots action. Start it with `--slot-save-path`"
        raise Fault("not_supported", message)
    number = exchange.path.get("id_slot", "")
    if not re.fullmatch(r"-?[0-9]{1,9}", number):
        raise Fault("invalid_request", "Invalid slot ID", param="id_slot")
    action = exchange.query.get("action", "")
    if action not in _ACTIONS:
        raise Fault("invalid_request", "Invalid action", param="action")
    model = await model_of(exchange, asked.model)
    name = "" if action == "erase" else _checked_name(asked.filename)
    done = await exchange.prepared(_ACTIONS[action], model.model, folder, name)
    return Json({"id_slot": int(number), **done})


def _folder(exchange: Exchange) -> Path | None:
    """Where files lie: one key neither reads nor replaces another's."""
    folder = exchange.settings.slot_save_path
    if folder is None or current_scope() is None:
        return folder
    return folder / f"key-{current_scope()}"  # no name of a key is a path then


def _save(model: Model, folder: Path, name: str) -> dict[str, Any]:
    begun_s, n = time.perf_counter(), model.n_remembered()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    n_written = model.save_cache(folder / name)
    timings = {"save_ms": (time.perf_counter() - begun_s) * 1e3}
    return {"filename": name, "n_saved": n, "n_written": n_written, "timings": timings}


def _restore(model: Model, folder: Path, name: str) -> dict[str, Any]:
    begun_s, path = time.perf_counter(), folder / name
    if not path.is_file():
        raise Fault("invalid_request", f"filename: there is no file {name}", param="filename")
    try:
        n = model.load_cache(path)
    except CacheFileError as error:
        message = f"filename: {name} cannot be restored: expected {error.expected}"
        raise Fault("invalid_request", message, param="filename") from error
    timings = {"restore_ms": (time.perf_counter() - begun_s) * 1e3}
    return {
        "filename": name, "n_restored": n, "n_read": path.stat().st_size, "timings": timings,
    }  # fmt: skip


def _erase(model: Model, folder: Path, name: str) -> dict[str, Any]:
    return {"n_erased": model.forget_cache()}


def _checked_name(name: str | None) -> str:
    if name is None or not _NAME.fullmatch(name):
        raise Fault("invalid_request", "Invalid filename", param="filename")
    return name


_ACTIONS: dict[str, Callable[[Model, Path, str], dict[str, Any]]] = {
    "save": _save, "restore": _restore, "erase": _erase,
}  # fmt: skip

SLOTS = (
    Route("POST", "/slots/{id_slot}", act_on_slot, SlotFields, needs_no_body=True),
)  # fmt: skip
