"""Mutants of what a conversion reads: `mutant(kind, number, originals)`.

All is drawn from one seeded `random.Random`, so a mutant is its kind and its number. A mutant
undergoes up to three changes of its parts, and bytes of some are changed whatever they mean.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from sentencepiece import sentencepiece_model_pb2 as spm

from tests.mutants import document, mutations
from tests.mutants.inputs import (
    imatrix_changes,
    json_changes,
    known_keys,
    safetensors_changes,
    sentencepiece_changes,
)
from tests.mutants.inputs.json_text import dump, parse
from tests.mutants.inputs.originals import FOLDERS

SEED = "inputs"
# What a change raises where an earlier one has left nothing that it could change.
UNFIT = (AttributeError, IndexError, OverflowError, TypeError, ValueError, struct.error)


@dataclass(frozen=True)
class Mutant:
    """A file of an original folder, changed.

    Attributes:
        original: the folder.
        file: its name in the folder, or in `imatrix`.
        done: what was done to it.
        is_same: whether it means what it meant.
    """

    original: str
    file: str
    data: bytes
    done: str
    is_same: bool


def mutant(kind: str, number: int, originals: Path) -> Mutant:
    """The mutant of a kind of KINDS and a number."""
    random = Random(f"{SEED} {kind} {number}")
    original, file, change = KINDS[kind](random)
    folder = "imatrix" if kind == "imatrix" else original
    data, done, is_same = change((originals / folder / file).read_bytes(), random)
    return Mutant(original, file, data, done, is_same)


Changed = tuple[bytes, str, bool]
Changer = Callable[[bytes, Random], Changed]


def _changed(
    data: bytes,
    random: Random,
    *,
    harmless: Callable[[bytes, Random], bytes],
    take_apart: Callable[[bytes], Any],
    changes: Sequence[Callable[[Any, Random], Any]],
    put_together: Callable[[Any], bytes],
    on_bytes: Sequence[Callable[[bytes, Random], bytes]],
) -> Changed:
    """One in ten harmlessly, most in their parts, one in five as bytes."""
    kind = random.random()
    if kind < 0.1:
        return harmless(data, random), "harmless", True
    done = []
    if kind < 0.85:
        parts = take_apart(data)
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            change = random.choice(changes)
            done.append(change.__name__)
            try:
                change(parts, random)
            except UNFIT:
                done[-1] += "?"
        data = put_together(parts)
    if kind >= 0.8 and len(data) > 1:
        change_bytes = random.choice(on_bytes)
        done.append(change_bytes.__name__)
        data = change_bytes(data, random)
    return data, "+".join(done), False


def _change_json(data: bytes, random: Random, known: known_keys.Known) -> Changed:
    def add_key(tree: Any, random: Random) -> None:
        tree.put(*random.choice(known.keys))

    def add_part(tree: Any, random: Random) -> None:
        name = random.choice(list(known.parts))
        tree.put(name, random.choice(known.parts[name]))

    more = [add_key] * 4 * bool(known.keys) + [add_part] * 4 * bool(known.parts)

    def whole(data: bytes, random: Random) -> bytes:
        return json_changes.whole(data.decode("utf-8", "replace"), random)

    return _changed(
        data, random,
        harmless=lambda data, random: json_changes.harmless(data, random, known.notes),
        take_apart=lambda data: parse(data.decode()),
        changes=(*json_changes.ON_TREES, *more),
        put_together=lambda tree: dump(tree, ascii=random.random() < 0.5).encode(),
        on_bytes=(*mutations.ON_BYTES, whole),
    )  # fmt: skip


def _change_safetensors(data: bytes, random: Random) -> Changed:
    return _changed(
        data, random, harmless=safetensors_changes.harmless,
        take_apart=safetensors_changes.taken_apart, changes=safetensors_changes.CHANGES,
        put_together=safetensors_changes.Document.to_bytes, on_bytes=mutations.ON_BYTES,
    )  # fmt: skip


def _change_index(data: bytes, random: Random) -> Changed:
    return _changed(
        data, random, harmless=json_changes.harmless,
        take_apart=lambda data: parse(data.decode()), changes=[safetensors_changes.index],
        put_together=lambda tree: dump(tree).encode(),
        on_bytes=mutations.ON_BYTES,
    )  # fmt: skip


def _change_sentencepiece(data: bytes, random: Random) -> Changed:
    return _changed(
        data, random, harmless=sentencepiece_changes.harmless,
        take_apart=spm.ModelProto.FromString, changes=sentencepiece_changes.ON_PARTS,
        put_together=lambda model: model.SerializeToString(),
        on_bytes=(*mutations.ON_BYTES, *[sentencepiece_changes.wire] * 5),
    )  # fmt: skip


def _change_matrix(data: bytes, random: Random) -> Changed:
    if data[:4] != b"GGUF":
        return _changed(
            data, random, harmless=imatrix_changes.harmless,
            take_apart=imatrix_changes.taken_apart, changes=imatrix_changes.ON_PARTS,
            put_together=imatrix_changes.Document.to_bytes, on_bytes=mutations.ON_BYTES,
        )  # fmt: skip

    def harmless(data: bytes, random: Random) -> bytes:
        doc = document.parse(data)
        mutations.harmless(doc, random)
        return doc.to_bytes()

    return _changed(
        data, random, harmless=harmless, take_apart=document.parse,
        changes=(*mutations.ON_PARTS, *[imatrix_changes.sums, imatrix_changes.parts] * 4),
        put_together=document.Document.to_bytes, on_bytes=mutations.ON_BYTES,
    )  # fmt: skip


def _of_safetensors(random: Random) -> tuple[str, str, Changer]:
    original = random.choice(("llama", "llama", "shards", "qwen2", "gptq", "packed", "float-8"))
    if original != "shards":
        return original, "model.safetensors", _change_safetensors
    if random.random() < 0.5:
        return original, "model.safetensors.index.json", _change_index
    return original, random.choice("ab") + ".safetensors", _change_safetensors


def _of_config(random: Random) -> tuple[str, str, Changer]:
    file = "generation_config.json" if random.random() < 0.1 else "config.json"
    known = known_keys.CONFIG if file == "config.json" else known_keys.GENERATION
    return (
        random.choice(list(FOLDERS)),
        file,
        lambda data, random: _change_json(data, random, known),
    )


def _of_tokenizer_json(random: Random) -> tuple[str, str, Changer]:
    original = random.choice(("qwen2", "qwen2", "llama3"))
    if random.random() < 0.15:
        settings = known_keys.TOKENIZER_CONFIG
        return (
            original,
            "tokenizer_config.json",
            lambda data, random: _change_json(data, random, settings),
        )
    return (
        original,
        "tokenizer.json",
        lambda data, random: _change_json(data, random, known_keys.TOKENIZER),
    )


KINDS: dict[str, Callable[[Random], tuple[str, str, Changer]]] = {
    "safetensors": _of_safetensors,
    "config": _of_config,
    "tokenizer-json": _of_tokenizer_json,
    "tokenizer-model": lambda random: ("llama", "tokenizer.model", _change_sentencepiece),
    "imatrix": lambda random: ("llama", f"m.{random.choice(('gguf', 'dat'))}", _change_matrix),
}
