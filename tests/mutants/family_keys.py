"""Each key of each family's files, absent, out of range or of another type: an error or a model.

    python -m tests.mutants.family_keys [KIND ...]

A tiny checkpoint of every kind (benchmarks/tiny_llama) is converted; then each key of its
config.json, and each of the GGUF file's that says something of the architecture, takes every value
of a list, one at a time. What comes of it may be a HalfbyteError, or a model with finite logits:
nothing else, in bounded time and memory. Each kind has a process of its own.
"""

from __future__ import annotations

import copy
import json
import logging
import math
import multiprocessing
import resource
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import halfbyte
from benchmarks import tiny_llama as tiny
from tests.mutants.document import ARRAY, STRING, Document, Entry, parse

MEMORY_NBYTES, SECONDS = 6 << 30, 30
UINT32, INT32, FLOAT32, BOOL, UINT64 = 4, 5, 6, 7, 10
_INTEGERS = [(UINT32, 0), (UINT32, 1), (UINT32, 3), (INT32, -1), (INT32, -(2**31)),
             (UINT32, 2**31 - 1), (UINT32, 2**32 - 1), (UINT64, 2**40),
             (UINT64, 2**64 - 1)]  # fmt: skip
_FLOATS = [(FLOAT32, x) for x in (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e38, math.inf, -math.inf,
                                  math.nan)]  # fmt: skip
_OTHERS = [(STRING, b""), (STRING, b"x"), (BOOL, True), (BOOL, False)]
VALUES: list[Any] = [
    None, 0, 1, 3, -1, 2**31, 2**63, 10**30, 0.0, -0.5, 0.5, 1e-320, 1e308, math.inf, math.nan,
    True, False, "", "x", [], [0], [None], [-1, "x"], {}, {"x": 1}, {"rope_type": "yarn"},
]  # fmt: skip


class TooLong(BaseException):
    """It takes too long."""


def _entries(old: Entry) -> Iterator[Entry | None]:
    """What may stand instead of an entry; None: nothing."""
    yield None
    for type_id, value in (*_INTEGERS, *_FLOATS, *_OTHERS):
        yield Entry(old.key, type_id, value)
    yield Entry(old.key, ARRAY, [], UINT32)
    for n in (1, 2, 3, 1000):
        yield Entry(old.key, ARRAY, [1] * n, UINT32)
        yield Entry(old.key, ARRAY, [-1] * n, INT32)
    if old.type_id == ARRAY and old.value:
        for changed in (old.value[:-1], [*old.value, old.value[-1]]):
            yield Entry(old.key, ARRAY, changed, old.item_type)
        for i in (0, len(old.value) - 1):
            for item in (0, -1, 2**31) if old.item_type != FLOAT32 else (0.0, -1.0, math.nan):
                values = [*old.value[:i], item, *old.value[i + 1 :]]
                yield Entry(old.key, ARRAY, values, old.item_type)


def file_mutants(document: Document) -> Iterator[tuple[str, bytes]]:
    """Files with one key changed, and what was."""
    for i, old in enumerate(document.entries):
        if old.key.startswith((b"tokenizer.", b"general.name", b"halfbyte.convert")):
            continue
        for new in _entries(old):
            changed = copy.copy(document)
            rest = document.entries[i + 1 :]
            changed.entries = [*document.entries[:i], *([] if new is None else [new]), *rest]
            said = "absent" if new is None else f"{new.type_id}: {str(new.value)[:40]}"
            yield f"{old.key.decode()} = {said}", changed.to_bytes()


def config_mutants(config: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Configurations with one key changed, in parts of theirs too."""
    for key, value in config.items():
        if key in ("model_type", "architectures"):
            continue
        rest = {other: v for other, v in config.items() if other != key}
        yield f"{key} = absent", rest
        for new in VALUES:
            yield f"{key} = {new!r}", {**rest, key: new}
        if isinstance(value, dict):
            for said, part in config_mutants(value):
                yield f"{key}.{said}", {**rest, key: part}
        if isinstance(value, list) and value:
            for new in ([*value, value[0]], value[1:], [VALUES[0], *value[1:]], [-1, *value[1:]]):
                yield f"{key} = {str(new)[:60]}", {**rest, key: new}


def tried(path: Path) -> str:
    """What comes of loading and running a file; "": a model that runs."""
    try:
        with halfbyte.load(path, threads=1, ctx=64) as model:
            logits = model.logits([1, 5, 9, 12])
            return "" if np.isfinite(logits).all() else "FAULT: logits that are not finite"
    except halfbyte.HalfbyteError as error:
        return f"{type(error).__name__}: {error}"


def _watched(work: Any, *arguments: Any) -> str:
    def late(*_: object) -> None:
        raise TooLong

    signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        found: str = work(*arguments)
        return found
    except BaseException as error:  # the very thing that is looked for
        return f"FAULT: {type(error).__name__}: {error}"[:400]
    finally:
        signal.alarm(0)


def _converted(folder: Path, out: Path) -> str:
    try:
        halfbyte.convert(folder, out, type="f32", measure=False, force=True)
    except halfbyte.HalfbyteError as error:
        return f"{type(error).__name__}: {error}"
    return tried(out)


def attack(kind: str, folder: Path) -> None:
    """All mutants of a kind; prints what may not be, and what runs all the same."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_NBYTES, MEMORY_NBYTES))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    source, good, path = folder / "hf", folder / "good.gguf", folder / "m.gguf"
    n_kv_heads = 4 if "kv_lora_rank" in tiny.KINDS.get(kind, {}) else 2
    shape = (64, 96, 2, 4, n_kv_heads, 16, 323, 1e4)
    tiny.save(
        tiny.Tiny("t", 1, *shape, tied=kind.startswith(("gemma", "starcoder")), kind=kind), source
    )
    halfbyte.convert(source, good, type="f32", measure=False)
    found: dict[str, list[str]] = {"FAULT": [], "runs": []}
    n = 0
    for said, data in file_mutants(parse(good.read_bytes())):
        path.write_bytes(data)
        n += 1
        _note(found, f"file: {said}", _watched(tried, path))
    config = json.loads((source / "config.json").read_text())
    for said, changed in config_mutants(config):
        (source / "config.json").write_text(json.dumps(changed))
        n += 1
        _note(found, f"config: {said}", _watched(_converted, source, path))
    print(
        f"{kind}: {n} mutants, {len(found['runs'])} run, {len(found['FAULT'])} faults", flush=True
    )
    (folder.parent / f"{kind}.runs").write_text("\n".join(found["runs"]))
    sys.exit(int(bool(found["FAULT"])))


def _note(found: dict[str, list[str]], said: str, came: str) -> None:
    if came.startswith("FAULT"):
        print(f"  {said}: {came}", flush=True)
        found["FAULT"].append(f"{said}: {came}")
    elif not came:
        found["runs"].append(said)


def main() -> int:
    """Attack each kind; 1 where something came that may not."""
    out, n_bad = Path(tempfile.mkdtemp(prefix="family-keys-")), 0
    for kind in sys.argv[1:] or ["llama", *tiny.KINDS]:
        folder = out / kind
        folder.mkdir()
        process = multiprocessing.get_context("spawn").Process(target=attack, args=(kind, folder))
        process.start()
        process.join()
        if process.exitcode:
            print(f"{kind}: the process ended with {process.exitcode}", flush=True)
            n_bad += 1
        shutil.rmtree(folder)
    print(f"what runs is listed in {out}")
    return int(n_bad > 0)


if __name__ == "__main__":
    sys.exit(main())
