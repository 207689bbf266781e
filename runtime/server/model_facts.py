"""What a model's file says, for lists of models: it is not loaded for that."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from functools import lru_cache
from typing import Any

from halfbyte.errors import HalfbyteError, UnsupportedModelError
from halfbyte.families.config import ModelConfig
from halfbyte.families.from_gguf import config_from_gguf
from halfbyte.families.model_card import ModelCard
from halfbyte.gguf.file import GGUFFile
from halfbyte.gguf.split import model_file
from halfbyte.lazy_dataclass import dataclass
from halfbyte.models import catalogue
from halfbyte.prompt.chat import template_of
from halfbyte.prompt.encoder import PromptEncoder
from halfbyte.prompt.thinking import marks_of
from halfbyte.prompt.tools.formats import format_of
from halfbyte.tokenizer import Tokenizer

_VOCABULARIES = {"llama": 1, "gpt2": 2}  # their numbers in llama.h


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Attributes:
    config: its shape.
    names: what it is called, the most telling name first.
    tokenizer: its kind of vocabulary as GGUF has it, "llama" or "gpt2".
    template: of its chats; empty for a model without.
    tool_template: of those with tools, where that is another one; else empty.
    can_infill: whether it was trained to.
    can_call: whether it can call functions in a way that is known here.
    n_weights: numbers in its tensors.
    type_name: of most of them, "Q8_0".
    nbytes: of its files.
    modified_s: when the file was written, in seconds since 1970.
    stamp: in hexadecimal, of the file's name, length and time: two files differ in it.
    """

    config: ModelConfig
    names: tuple[str, ...]
    tokenizer: str
    template: str
    tool_template: str
    can_infill: bool
    can_call: bool
    n_weights: int
    type_name: str
    nbytes: int
    modified_s: float
    stamp: str

    @property
    def can_think(self) -> bool:
        """Whether its template knows thoughts."""
        return marks_of(self.template) is not None


def shape_of(config: ModelConfig, vocabulary: str) -> dict[str, Any]:
    """A model's shape as llama.cpp's clients read it.

    Args:
        config: the model's.
        vocabulary: its kind as GGUF has it.
    """
    return {
        "vocab_type": _VOCABULARIES.get(vocabulary, 0), "n_vocab": config.vocab_size,
        "n_ctx_train": config.n_ctx_train, "n_embd": config.dim,
    }  # fmt: skip


def facts_of(source: str) -> ModelFacts | None:
    """The facts of a path or a catalogue's name; None where there is no such file yet, or a folder
    that loading converts, or nothing that can be read.
    """
    try:
        path = model_file(catalogue.resolve(source, pull=False))
        status = os.stat(path)
        return _read(str(path), status.st_size, status.st_mtime_ns)
    except (HalfbyteError, OSError):
        return None


@lru_cache(maxsize=256)
def _read(path: str, nbytes: int, mtime_ns: int) -> ModelFacts:
    with GGUFFile.open(path) as file:
        config, card = config_from_gguf(file), ModelCard.from_gguf(file)
        tokenizer = Tokenizer.from_gguf(file)
        encoder = PromptEncoder(tokenizer, config.n_ctx_train, card.names)
        types: Counter[str] = Counter()
        for tensor in file.tensors.values():
            types[tensor.type_name] += math.prod(tensor.shape)
        return ModelFacts(
            config=config, names=card.names,
            tokenizer=file.metadata.get_str("tokenizer.ggml.model"),
            template=tokenizer.chat_template or "",
            tool_template=tokenizer.vocabulary.tool_template or "",
            can_infill=encoder.can_infill,
            can_call=_can_call(template_of(tokenizer, has_tools=True), path),
            n_weights=types.total(), type_name=types.most_common(1)[0][0].upper(),
            nbytes=file.nbytes, modified_s=mtime_ns / 1e9,
            stamp=hashlib.sha256(f"{path} {nbytes} {mtime_ns}".encode()).hexdigest(),
        )  # fmt: skip


def _can_call(template: str | None, path: str) -> bool:
    """Whether a chat with tools is not refused: templates without a place for them are told."""
    if template is None:
        return False
    try:
        return "tools" not in template or format_of(template, path) is not None
    except UnsupportedModelError:
        return False
