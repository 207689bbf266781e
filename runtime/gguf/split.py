"""Models that lie in several GGUF files, whose names are as in gguf/shard_name.py.

    split.no             this file's number, from 0
    split.count          how many files there are; 0 or 1: the model is not split
    split.tensors.count  tensors of all files together

The first file has the metadata, the others little more than these keys. Each has its own table of
tensors and its own alignment. Source: llama.cpp's tools/gguf-split and src/llama-model-loader.cpp.
"""

from __future__ import annotations

import os
from pathlib import Path

from halfbyte.errors import ModelFileError
from halfbyte.gguf.shard import Shard
from halfbyte.gguf.shard_name import ShardName, main_models, shards_of

_NO, _COUNT, _N_TENSORS = "split.no", "split.count", "split.tensors.count"
_MAX_SHARDS = (1 << 16) - 1
_N_NAMED = 8


def model_file(path: Path) -> Path:
    """The GGUF model that a folder holds, a file of it if it is split; else the path itself.

    Raises:
        ModelFileError: it holds several, and no weights of another kind.
    """
    if not os.path.isdir(path):  # which is false for a name that cannot be
        return path
    try:
        names = [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]
    except OSError:  # for the reader to report
        return path
    found = main_models(names)
    if not found or any(name.endswith(".safetensors") for name in names):
        return path
    if len(found) > 1:
        more = f" and {len(found) - _N_NAMED} more" if len(found) > _N_NAMED else ""
        raise ModelFileError(
            path, expected="one model", got=", ".join(found[:_N_NAMED]) + more,
            hint="name the file that is meant",
        )  # fmt: skip
    return path / next(name for name in shards_of(found[0]) if name in names)


def open_shards(path: str, *, strict_types: bool) -> list[Shard]:
    """The files of a model in their order, whichever of them is named; one if it is not split.

    Raises:
        As GGUFFile.open.
    """
    named = Shard.open(path, strict_types=strict_types)
    opened = {path: named}
    try:
        n_shards = named.metadata.get_int(_COUNT, 0, maximum=_MAX_SHARDS)
        if n_shards < 2:
            return [named]
        paths = _paths(named, n_shards)
        for other in paths:
            if other not in opened:
                opened[other] = Shard.open(other, strict_types=strict_types)
        shards = [opened[one] for one in paths]
        _check(shards)
    except BaseException:
        for shard in opened.values():
            shard.close()
        raise
    return shards


def _paths(named: Shard, n_shards: int) -> list[str]:
    """Where all files lie: beside the one that is named, which says how many there are."""
    path, number = named.metadata.path, named.metadata.get_int(_NO, maximum=n_shards - 1) + 1
    folder, file_name = os.path.split(path)
    name = ShardName.of(file_name)
    if name is None or (name.number, name.count) != (number, n_shards):
        raise ModelFileError(
            path, "name", expected=f"NAME-{number:05}-of-{n_shards:05}.gguf", got=file_name,
            hint="the files of a split model are found by their names: give them back",
        )  # fmt: skip
    names = name.all()
    paths = [path if i == number else os.path.join(folder, one) for i, one in enumerate(names, 1)]
    missing = [one for one, where in zip(names, paths, strict=True) if not os.path.exists(where)]
    if missing:
        more = f" and {len(missing) - _N_NAMED} more" if len(missing) > _N_NAMED else ""
        raise ModelFileError(
            path, "shards", expected=f"all {n_shards} files of a split model in one folder",
            got=f"no {', '.join(missing[:_N_NAMED])}{more}", hint="fetch what is missing",
        )  # fmt: skip
    return paths


def _check(shards: list[Shard]) -> None:
    """Whether the files belong together and hold every tensor once."""
    where: dict[str, str] = {}
    for i, shard in enumerate(shards):
        m = shard.metadata
        for key, expected in ((_NO, i), (_COUNT, len(shards))):
            if (got := m.get_int(key)) != expected:
                raise ModelFileError(m.path, key, expected=str(expected), got=got)
        for name in shard.tensors:
            if name in where:
                got_twice = f"it in {os.path.basename(where[name])} too"
                raise ModelFileError(m.path, name, expected="it once", got=got_twice)
            where[name] = m.path
    for shard in shards:
        stated = shard.metadata.get_int(_N_TENSORS, len(where))
        if stated != len(where):
            raise ModelFileError(
                shard.metadata.path, _N_TENSORS, expected=f"the {len(where)} of all files",
                got=stated, hint="the files are of different models: fetch them again",
            )  # fmt: skip
