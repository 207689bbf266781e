"""What lies in a folder that is no model in transformers' layout, and what to do with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from halfbyte.files.file_kinds import PICKLED, Kind, has_gguf_name, kind_of

_SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
_INDEX = "model.safetensors.index.json"
_HF_LAYOUT = (
    "halfbyte reads transformers' layout: config.json, model.safetensors (or its shards) and the "
    "tokenizer's files; most models are there in it too, some under a name that ends in -hf"
)
_DOWNLOAD_AGAIN = "download what is missing: the same command takes it up again"
_N_SHOWN = 4


def contents_of(folder: Path) -> Kind:
    """What a folder holds in place of a model that could be read."""
    names = sorted(path.name for path in folder.iterdir())
    if not names:
        return Kind("an empty folder", _HF_LAYOUT)
    unknown = Kind(f"no such file among {_some(names)}", _HF_LAYOUT)
    return next(_found(folder, names), unknown)


def _found(folder: Path, names: list[str]) -> Iterator[Kind]:
    """The kinds of what is there, what tells most first."""
    unfinished = _unfinished(folder, names)
    if unfinished:
        yield Kind(f"a download that has not come to its end: {unfinished}", _DOWNLOAD_AGAIN)
    ggufs = [name for name in names if has_gguf_name(name)]
    if ggufs:
        yield Kind(_some(ggufs), f"name the file: {folder / ggufs[0]}")
    if "snapshots" in names and (folder / "snapshots").is_dir():
        below = sorted(path.name for path in (folder / "snapshots").iterdir())
        yield Kind("a hub's cache", f"name a folder below snapshots/: {_some(below)}")
    yield from _shards(names)
    if "params.json" in names or any(name.startswith("consolidated.") for name in names):
        yield Kind("a model in the layout of Meta's or Mistral's own code", _HF_LAYOUT)
    for pattern in ("*.bin", "*.pth", "*.pt", "*.ckpt"):
        pickles = sorted(path.name for path in folder.glob(pattern))
        if pickles:
            yield Kind(f"pickled weights: {_some(pickles)}", PICKLED)
    for pattern in ("*.h5", "*.msgpack", "*.onnx"):
        for path in sorted(folder.glob(pattern)):
            kind = kind_of(path)
            yield Kind(f"{kind.what}: {path.name}", kind.hint)


def _unfinished(folder: Path, names: list[str]) -> str:
    """A file that a hub's client, a browser or a download manager had begun."""
    endings = (".incomplete", ".part", ".crdownload", ".aria2")
    begun = [name for name in names if name.endswith(endings)]
    begun += [f".cache/{path.name}" for path in folder.glob(".cache/huggingface/**/*.incomplete")]
    return _some(begun)


def _shards(names: list[str]) -> Iterator[Kind]:
    found = {int(match[1]): int(match[2]) for name in names if (match := _SHARD.fullmatch(name))}
    if not found or _INDEX in names:
        return
    count = max(found.values())
    missing = [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)
               if i not in found]  # fmt: skip
    what = f"{len(found)} of {count} shards without {_INDEX}"
    yield Kind(f"{what}, no {_some(missing)}" if missing else what, _DOWNLOAD_AGAIN)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
    return ", ".join(names[:_N_SHOWN]) + more
