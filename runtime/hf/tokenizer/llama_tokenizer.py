"""Llama's tokenizer on a sentencepiece vocabulary, with transformers' ids and texts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halfbyte.files.json_folder import JSONFolder
from halfbyte.hf.alignment import Tokens
from halfbyte.hf.arguments import FLAGS, one_of
from halfbyte.hf.tokenizer.pretrained_tokenizer import PreTrainedTokenizer
from halfbyte.hf.tokenizer.saved_files import MODEL_FILE, TOKENIZER_JSON
from halfbyte.hf.tokenizer.sentencepieces import UNDERLINE, SentencePieceModel
from halfbyte.tokenizer import Vocabulary
from halfbyte.tokenizer.from_json import puts_spaces_inside
from halfbyte.tokenizer.tokenizer import check_text


class LlamaTokenizer(PreTrainedTokenizer):
    """The tokenizer of Llama 2 and others on a sentencepiece vocabulary.

    Args:
        vocab_file: a tokenizer.model or a .gguf file.
        unk_token, bos_token, eos_token: special tokens.
        add_bos_token, add_eos_token: what goes around each sequence.
        legacy: put a space before the text after a special token, as Meta's code and the files
            of Llama 2 do; False puts one only before the whole text.
        arguments: see PreTrainedTokenizer.

    Raises:
        ModelFileError: the vocabulary cannot be read.
        RequestError: an unknown argument.
    """

    vocabulary_files = (MODEL_FILE, TOKENIZER_JSON)
    class_name = "LlamaTokenizer"

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Vocabulary,
        unk_token: Any = "<unk>",
        bos_token: Any = "<s>",
        eos_token: Any = "</s>",
        *,
        add_bos_token: bool = True,
        add_eos_token: bool = False,
        legacy: bool | None = None,
        **arguments: Any,
    ) -> None:
        self.add_bos_token = one_of("add_bos_token", add_bos_token, FLAGS)
        self.add_eos_token = one_of("add_eos_token", add_eos_token, FLAGS)
        self.legacy = legacy is None or legacy
        self._model = SentencePieceModel(vocab_file)
        self.vocab_file = self._model.vocabulary.path
        super().__init__(
            self._model, unk_token=unk_token, bos_token=bos_token, eos_token=eos_token, **arguments
        )

    @classmethod
    def read(cls, path: Path, given: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """As for all; where there is a tokenizer.json, transformers puts spaces as that says."""
        source, stated = super().read(path, given)
        whole = JSONFolder(path).read_json(TOKENIZER_JSON) if path.is_dir() else None
        if whole and "legacy" not in given:
            stated["legacy"] = puts_spaces_inside(whole)
        return source, stated

    def text_tokens(self, text: str, is_split: bool, options: Mapping[str, Any]) -> Tokens:
        """Tokens of one text, without BOS and EOS."""
        check_text(text)
        ids, adds = self._ids(text, is_split), self._model.core.adds_space
        return self._model.tokens(ids, text, self, begins=adds, begins_again=adds and self.legacy)

    def _ids(self, text: str, is_split: bool) -> list[int]:
        core = self._model.core
        if not self.legacy and core.adds_space:
            return self._model.to_ids(f"{UNDERLINE}{text}" if text else "", is_split, self)
        ids: list[int] = []
        for part, token in self.search(text, is_split):
            known = core.encode(part, add_bos=False, parse_markers=True)
            ids += known if token is None else [token]
        return ids

    def saved_arguments(self) -> dict[str, Any]:
        """What tokenizer_config.json says beside tokens."""
        return {**super().saved_arguments(), "legacy": self.legacy, "sp_model_kwargs": {}}
