"""What a model's makers say of it beside its weights: which model it is, and how it is sampled.

Sources: the GGUF specification, "General metadata"; llama.cpp for the keys `general.sampling.*`,
which its converter fills from generation_config.json; transformers' GenerationConfig.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.metadata import Metadata
from halfbyte.gguf.strings import Strings
from halfbyte.lazy_dataclass import dataclass

log = logging.getLogger(__name__)

# Sampling parameter -> its GGUF key. generation_config.json has them under their own names, but for
# one that only llama.cpp's converter reads there.
SAMPLING_KEYS = {
    "temperature": "general.sampling.temp",
    "top_k": "general.sampling.top_k",
    "top_p": "general.sampling.top_p",
    "min_p": "general.sampling.min_p",
    "repetition_penalty": "general.sampling.penalty_repeat",
    "penalty_window": "general.sampling.penalty_last_n",
    "xtc_probability": "general.sampling.xtc_probability",
    "xtc_threshold": "general.sampling.xtc_threshold",
    "mirostat": "general.sampling.mirostat",
    "mirostat_tau": "general.sampling.mirostat_tau",
    "mirostat_eta": "general.sampling.mirostat_eta",
}
_CONFIG_NAMES = {"penalty_window": "penalty_last_n"}
SEQUENCE_KEY = "general.sampling.sequence"  # names of samplers, with semicolons between
WHOLE = ("top_k", "penalty_window", "mirostat")  # the parameters that are whole numbers
_SAMPLING = "general.sampling."
_TAGS = "general.tags"
_MAX_BASES, _MAX_TAGS, _MAX_NAME = 16, 64, 200
_MAX = 2**31  # of any value; NaN and infinity are beyond it


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a file says of its model.

    Attributes:
        names: its names, those that tell most first: its own, those of the models that it was
            made from, the file's.
        tags: what its makers file it under.
        sampling: how its makers sample; a value need not be in range. All are numbers but
            `samplers`, names with semicolons between.
    """

    names: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    sampling: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_gguf(cls, file: GGUFFile) -> ModelCard:
        """The card of a GGUF file; what has another type than it should is left out."""
        names = [*_names(file.metadata), Path(file.path).stem]
        return cls(
            names=tuple(name[:_MAX_NAME] for name in names if name),
            tags=tuple(_tags(file.metadata)),
            sampling=_sampling(file.metadata),
        )


def sampling_from_hf(path: Path, config: Mapping[str, object]) -> dict[str, float]:
    """What a folder's generation_config.json says of sampling; `path` is for the log.

    A model that is not to be sampled (`do_sample` false) gets temperature 0 and no filters.
    """
    stated = {name: config.get(_CONFIG_NAMES.get(name, name)) for name in SAMPLING_KEYS}
    found = {name: value for name, value in stated.items() if value is not None}
    if config.get("do_sample") is False:
        found = {name: v for name, v in found.items() if name == "repetition_penalty"}
        found["temperature"] = 0.0
    return dict(_numbers(str(path), found))


def _names(m: Metadata) -> Iterator[str]:
    def text(key: str) -> str:
        value = m.raw(key).value if key in m else ""
        return value if isinstance(value, str) else ""

    size = text("general.size_label")
    for key in ("general.name", "general.basename"):
        if text(key):
            yield f"{text(key)} {size}".strip()
    for i in range(_MAX_BASES):
        yield text(f"general.base_model.{i}.name")
        yield text(f"general.base_model.{i}.repo_url")


def _tags(m: Metadata) -> Iterator[str]:
    values = m.raw(_TAGS).value if _TAGS in m else ()
    if isinstance(values, Strings):
        for value in values[:_MAX_TAGS]:
            yield value[:_MAX_NAME].decode(errors="replace")


def _sampling(m: Metadata) -> dict[str, Any]:
    known = {SEQUENCE_KEY, *SAMPLING_KEYS.values()}
    unused = [key for key in m if key.startswith(_SAMPLING) and key not in known]
    if unused:
        shown = ", ".join(f"{key!r:.60}" for key in unused[:5])
        log.warning(
            "%s: %d keys of sampling are not known here, chat does without: %s",
            m.path, len(unused), shown,
        )  # fmt: skip
    found = {name: m.raw(key).value for name, key in SAMPLING_KEYS.items() if key in m}
    sequence = m.raw(SEQUENCE_KEY).value if SEQUENCE_KEY in m else ""
    order = {"samplers": sequence[:_MAX_NAME]} if isinstance(sequence, str) and sequence else {}
    return {**dict(_numbers(m.path, found)), **order}


def _numbers(path: str, found: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """The values that are numbers; the others get a word."""
    for name, value in found.items():
        wanted = "a whole number" if name in WHOLE else "a number"
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not -_MAX < value < _MAX or (name in WHOLE and value % 1):  # type: ignore[operator]
            text = f"{value!r:.80}"
            log.warning("%s: sampling's %s is %s, not %s: not used", path, name, text, wanted)
            continue
        # GGUF's floats are of 32 bits: 0.6, not 0.6000000238.
        yield name, int(value) if name in WHOLE else float(f"{value:.7g}")  # type: ignore[call-overload]
