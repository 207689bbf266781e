"""The files of a pulled model: one, or those of a split one.

NAME.gguf that is split lies there as NAME-00001-of-00003.gguf and so on, beside each other.
"""

from __future__ import annotations

import os
from pathlib import Path

from halfbyte.gguf.shard_name import ShardName, shards_of


def files_of(path: Path) -> list[Path]:
    """All files of a model, of which one is named; some may not be there."""
    return [path.with_name(name) for name in shards_of(path.name)]


def model_at(target: Path) -> Path | None:
    """The model whose place is `target`, its first file if it is split; None unless it is whole."""
    names = [target.name]
    if not target.is_file() and target.parent.is_dir():
        stem = target.name.removesuffix(".gguf")
        shards = ((name, ShardName.of(name)) for name in sorted(os.listdir(target.parent)))
        names += [n for n, shard in shards if shard and (shard.prefix, shard.number) == (stem, 1)]
    found = (target.with_name(name) for name in names)
    return next((path for path in found if all(f.is_file() for f in files_of(path))), None)
