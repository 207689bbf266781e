"""Tokenizers on sentencepiece vocabularies: what they share, and Llama's own.

Decoding takes one leading space off the very first piece; special tokens come out as they are
spelled; bytes that are no UTF-8 give one U+FFFD each.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from shutil import copyfile
from typing import Any, ClassVar

from halfbyte.errors import TokenizerError
from halfbyte.hf.errors import TokenIdError
from halfbyte.hf.tokenizer_base import TokenizerBase
from halfbyte.hf.tokenizer_options import check_flag, refuse_unknown
from halfbyte.hf.tokenizer_settings import TOKENIZER_JSON, Settings, read_folder, read_json
from halfbyte.hf.tokenizer_vocab import read_gguf, read_sentencepiece, write_sentencepiece
from halfbyte.tokenizer import Tokenizer, Vocabulary
from halfbyte.tokenizer.tokenizer import DECODE_ERRORS, check_text
from halfbyte.tokenizer.vocabulary import UNKNOWN

log = logging.getLogger(__name__)

UNDERLINE = "\u2581"  # how pieces spell a space
MODEL_FILE = "tokenizer.model"


class SentencePieceTokenizer(TokenizerBase):
    """A tokenizer on pieces of a sentencepiece model.

    Attributes:
        vocab_file: where the pieces come from.
    """

    vocab_files_names: ClassVar = {"vocab_file": MODEL_FILE}

    def __init__(self, vocab_file: str | os.PathLike[str] | Vocabulary, settings: Settings) -> None:
        if not isinstance(vocab_file, Vocabulary):
            path = Path(vocab_file)
            is_gguf = path.suffix == ".gguf"
            vocab_file = read_gguf(path)[0] if is_gguf else read_sentencepiece(path)
        self.vocab_file = vocab_file.path
        self._vocabulary = vocab_file
        self._core = Tokenizer(vocab_file)
        self._unk_id = vocab_file.types.index(UNKNOWN)
        super().__init__(settings)

    @classmethod
    def _read_files(cls, path: Path, given: Mapping[str, Any]) -> tuple[Vocabulary, dict[str, Any]]:
        names = (MODEL_FILE, TOKENIZER_JSON) if path.is_dir() else ()
        file = next((path / name for name in names if (path / name).is_file()), path)
        if file.is_dir():
            file = path / MODEL_FILE  # whose absence is an error
        return read_sentencepiece(file), read_folder(file.parent, given)

    def __getstate__(self) -> dict[str, Any]:
        """What pickle keeps: the vocabulary in place of the libraries' objects."""
        return {name: value for name, value in self.__dict__.items() if name != "_core"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Fill from what pickle kept."""
        self.__dict__.update(state)
        self._core = Tokenizer(self._vocabulary)

    @property
    def vocab_size(self) -> int:
        """Number of pieces, those left out that were added to the model's own."""
        return len(self._vocabulary.pieces)

    def _base_id(self, piece: str) -> int | None:
        return self._core.id_of(piece)

    def _base_piece(self, token_id: int) -> str:
        try:
            return self._core.piece(token_id)
        except TokenizerError as error:
            raise TokenIdError(str(error)) from None

    def _unknown_id(self) -> int:
        return self._unk_id

    def tokenize(self, text: str, **options: Any) -> list[str]:
        """The pieces of a text.

        Args:
            text: any text.
            options: `split_special_tokens`, to take special tokens' texts for text.
        """
        is_split = options.pop("split_special_tokens", self.split_special_tokens)
        refuse_unknown(options, ("split_special_tokens", *self._text_options))
        return self.convert_ids_to_tokens(self._text_ids(text, is_split, options))

    def _plain_ids(self, text: str, is_split: bool) -> list[int]:
        """Ids of a text that has its first space: none is put anywhere.

        That space is dropped again where a special token comes next.
        """
        parts: Iterable[tuple[str, int | None]] = [(text, None)]
        ids: list[int] = []
        for part, token in parts if is_split else self._added.split(text):
            ids += self._fragment_ids(part) if token is None else [token]
        is_lone_space = len(ids) > 1 and ids[0] == self._core.id_of(UNDERLINE)
        if is_lone_space and self._id_to_piece(ids[1]) in self.all_special_tokens:
            return ids[1:]
        return ids

    def _fragment_ids(self, text: str) -> list[int]:
        return self._core.encode_fragment(text, parse_markers=True)

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of pieces."""
        special = set(self.all_special_tokens)
        pieces, parts = list(tokens), []
        if pieces and pieces[0].startswith(UNDERLINE) and self._core.adds_space:
            parts.append(self._without_space(pieces.pop(0)))
        for is_special, run in groupby(pieces, special.__contains__):
            if is_special:
                parts += run
            else:
                parts.append(b"".join(map(self._surface, run)).decode(errors=DECODE_ERRORS))
        return "".join(parts)

    def _surface(self, piece: str) -> bytes:
        known = self._core.id_of(piece)
        return piece.encode() if known is None else self._core.token_bytes(known)

    def _without_space(self, piece: str) -> str:
        """The text of a piece that begins with a space, which is left out."""
        is_known = self._core.id_of(piece) is not None
        return self._surface(piece).decode()[1:] if is_known else piece[1:]

    def _decode(self, ids: list[int], skips_special: bool, with_spaces: bool) -> str:
        special = set(self.all_special_tokens)
        tokens = self.convert_ids_to_tokens(ids, skip_special_tokens=skips_special)
        beyond = {t for t in self.additional_special_tokens if self._is_beyond(t)}
        set_off = (self.added_tokens_encoder.keys() - special) | beyond
        runs = [(is_off, list(run)) for is_off, run in groupby(tokens, set_off.__contains__)]
        parts: list[str] = []
        for i, (is_off, run) in enumerate(runs):
            texts = run if is_off else [self.convert_tokens_to_string(run)]
            # Pieces without any text count between added tokens only at the end.
            parts += texts if is_off or texts[0] or i == len(runs) - 1 else []
        return (" " if with_spaces else "").join(parts)

    def _is_beyond(self, piece: str) -> bool:
        return self.convert_tokens_to_ids(piece) >= self.vocab_size

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...] | None:
        """Write tokenizer.model into an existing folder.

        Returns:
            Its path; None, with a message in the log, where there is no such folder.
        """
        folder = os.fspath(save_directory)
        if not os.path.isdir(folder):
            log.error("%s is no folder: the vocabulary is not saved", folder)
            return None
        name = f"{filename_prefix}-{MODEL_FILE}" if filename_prefix else MODEL_FILE
        target = os.path.join(folder, name)
        is_model = self.vocab_file.endswith(".model") and os.path.isfile(self.vocab_file)
        if not is_model:
            Path(target).write_bytes(write_sentencepiece(self._vocabulary))
        elif os.path.abspath(self.vocab_file) != os.path.abspath(target):
            copyfile(self.vocab_file, target)
        return (target,)


class LlamaTokenizer(SentencePieceTokenizer):
    """The tokenizer of Llama 2 and others on a sentencepiece vocabulary.

    Args:
        vocab_file: a tokenizer.model or a .gguf file.
        unk_token, bos_token, eos_token: special tokens.
        add_bos_token, add_eos_token: what goes around each sequence.
        legacy: put a space before the text after a special token, as Meta's code and the files
            of Llama 2 do; False puts one only before the whole text.
        settings: see Settings.

    Raises:
        ModelFileError: the vocabulary cannot be read.
        RequestError: an unknown argument.
    """

    _class_name = "LlamaTokenizer"

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
        **settings: Any,
    ) -> None:
        self.add_bos_token = check_flag("add_bos_token", add_bos_token)
        self.add_eos_token = check_flag("add_eos_token", add_eos_token)
        self.legacy = legacy is None or legacy
        special = {"unk_token": unk_token, "bos_token": bos_token, "eos_token": eos_token}
        super().__init__(vocab_file, Settings.read({**settings, **special}))

    @classmethod
    def _read_files(cls, path: Path, given: Mapping[str, Any]) -> tuple[Vocabulary, dict[str, Any]]:
        vocabulary, stated = super()._read_files(path, given)
        if path.is_dir() and "legacy" not in given:
            # Where there is a tokenizer.json, transformers does as that says.
            whole = read_json(path / TOKENIZER_JSON)
            if whole:
                stated["legacy"] = _puts_spaces_inside(whole)
        return vocabulary, stated

    def _text_ids(self, text: str, is_split: bool, options: Mapping[str, Any]) -> list[int]:
        check_text(text)
        if not self.legacy and self._core.adds_space:
            return self._plain_ids(f"{UNDERLINE}{text}" if text else "", is_split)
        parts: Iterable[tuple[str, int | None]] = [(text, None)]
        ids: list[int] = []
        for part, token in parts if is_split else self._added.split(text):
            known = self._core.encode(part, add_bos=False, parse_markers=True)
            ids += known if token is None else [token]
        return ids

    def _config(self) -> dict[str, Any]:
        return {**super()._config(), "legacy": self.legacy, "sp_model_kwargs": {}}


def _puts_spaces_inside(tokenizer_json: Mapping[str, Any]) -> bool:
    """Whether a tokenizer.json puts a space before every part that follows a special token."""
    normalizer = tokenizer_json.get("normalizer") or {}
    steps = [normalizer, *(normalizer.get("normalizers") or ())]
    cutter = tokenizer_json.get("pre_tokenizer") or {}
    return any(step.get("type") == "Prepend" for step in steps) or (
        cutter.get("type") == "Metaspace" and cutter.get("prepend_scheme") == "always"
    )
