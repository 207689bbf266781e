"""Names of the files of a split model: PREFIX-00001-of-00003.gguf and so on."""

from __future__ import annotations

import re
from collections.abc import Iterable

from halfbyte.lazy_dataclass import dataclass

_NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.gguf)", re.I | re.S | re.ASCII)

_BESIDE = re.compile(r"(?:.*[-_.])?mmproj[-_.]|imatrix[-_.]", re.I | re.S)


@dataclass(frozen=True, slots=True)
class ShardName:
    """The name of one of `count` files, taken apart; `number` counts from 1."""

    prefix: str
    number: int
    count: int
    ending: str = ".gguf"

    @classmethod
    def of(cls, name: str) -> ShardName | None:
        """None for another name than a shard's."""
        match = _NAME.fullmatch(name)
        if match is None or not 1 <= int(match[2]) <= int(match[3]):
            return None
        return cls(match[1], int(match[2]), int(match[3]), match[4])

    def all(self) -> list[str]:
        """The names of all files."""
        numbers = range(1, self.count + 1)
        return [f"{self.prefix}-{i:05}-of-{self.count:05}{self.ending}" for i in numbers]


def shards_of(name: str) -> list[str]:
    """All names of the model that a file is of: its own, where that is no shard's."""
    shard = ShardName.of(name)
    return [name] if shard is None else shard.all()


def models_among(names: Iterable[str]) -> list[str]:
    """The .gguf names, of a split model its first file's, whether it is among them or not."""
    return sorted({shards_of(name)[0] for name in names if name.lower().endswith(".gguf")})


def main_models(names: Iterable[str]) -> list[str]:
    """The same without what lies beside models: projectors of images, importance matrices.

    These are told by their names; where there is nothing else, they stay.
    """
    found = models_among(names)
    return [name for name in found if not _BESIDE.match(name.rpartition("/")[2])] or found


def without_number(name: str) -> str:
    """A file's name without ending and, if it is a shard's, without its number."""
    shard = ShardName.of(name)
    return name.rpartition(".")[0] or name if shard is None else shard.prefix
