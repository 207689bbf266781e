"""The tokenizer that fits a model: `AutoTokenizer.from_pretrained`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from halfbyte.errors import MissingFileError, RequestError
from halfbyte.files.file_kinds import is_gguf, is_json
from halfbyte.files.json_folder import JSONFolder
from halfbyte.gguf.split import model_file
from halfbyte.hf.tokenizer import CodeLlamaTokenizer, LlamaTokenizer, PreTrainedTokenizer
from halfbyte.hf.tokenizer.json_tokenizer import JSONTokenizer
from halfbyte.hf.tokenizer.saved_files import (
    CONFIG,
    MODEL_FILE,
    TOKENIZER_JSON,
    locate,
    vocabulary_file,
)
from halfbyte.hf.tokenizer.vocabularies import read_gguf, read_sentencepiece
from halfbyte.tokenizer import Vocabulary

_MARKER = "▁<PRE>".encode()  # only Code Llama's vocabularies have it
_CLASSES = {kind.class_name: kind for kind in (CodeLlamaTokenizer, LlamaTokenizer)}


class AutoTokenizer:
    """Chooses among CodeLlamaTokenizer, LlamaTokenizer and JSONTokenizer; has no instances.

    A folder's tokenizer_config.json names the class; otherwise, and for .gguf files, the
    vocabulary decides.
    """

    def __init__(self) -> None:
        raise RequestError("AutoTokenizer", expected="AutoTokenizer.from_pretrained(...)")

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **arguments: Any
    ) -> PreTrainedTokenizer:
        """The tokenizer of a model; arguments and errors as of PreTrainedTokenizer's."""
        path, given = locate(pretrained_model_name_or_path, arguments)
        if not any((path / name).is_file() for name in (MODEL_FILE, TOKENIZER_JSON)):
            path = model_file(path)
        if is_gguf(path):
            vocabulary, stated = read_gguf(path)
            name = os.fspath(pretrained_model_name_or_path)
            return _by_vocabulary(vocabulary).build(vocabulary, {**stated, **given}, given, name)
        return _by_files(path).from_pretrained(path, **given)


def _by_vocabulary(vocabulary: Vocabulary) -> type[PreTrainedTokenizer]:
    if vocabulary.model != "llama":
        return JSONTokenizer
    return CodeLlamaTokenizer if _MARKER in vocabulary.pieces else LlamaTokenizer


def _by_files(path: Path) -> type[PreTrainedTokenizer]:
    folder = path if path.is_dir() else path.parent
    model = path if path.is_file() else vocabulary_file(folder, (MODEL_FILE, TOKENIZER_JSON))
    config = JSONFolder(folder).read_json(CONFIG) or {}
    stated = str(config.get("tokenizer_class")).removesuffix("Fast")
    if model.is_file() and not is_json(model):
        return _CLASSES.get(stated) or _by_vocabulary(read_sentencepiece(model))
    if (path if path.is_file() else folder / TOKENIZER_JSON).is_file():
        # A tokenizer.json says nothing about infilling.
        return CodeLlamaTokenizer if stated == "CodeLlamaTokenizer" else JSONTokenizer
    raise MissingFileError(
        path, "tokenizer", expected=f"{MODEL_FILE} or {TOKENIZER_JSON}", got="neither"
    )
