"""Tokenizers that a tokenizer.json describes, and byte-level vocabularies of .gguf files.

The `tokenizers` package does the work, so that ids are those of transformers' fast tokenizers:
special tokens are found in text; a family's normalization and way of cutting text are its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import AddedToken as _AddedToken
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from halfbyte.errors import ModelFileError, UnsupportedModelError
from halfbyte.hf.errors import TokenIdError
from halfbyte.hf.tokenizer_added import AddedToken
from halfbyte.hf.tokenizer_base import TokenizerBase
from halfbyte.hf.tokenizer_options import check_flag, refuse_unknown
from halfbyte.hf.tokenizer_settings import TOKENIZER_JSON, Settings, read_folder
from halfbyte.hf.tokenizer_vocab import added_tokens
from halfbyte.tokenizer import Vocabulary
from halfbyte.tokenizer.bpe import PRE_TOKENIZERS
from halfbyte.tokenizer.tokenizer import check_text

log = logging.getLogger(__name__)

_DIGITS, _WORDS = r"\p{N}", PRE_TOKENIZERS["gpt-2"][0]
# Families that look whole words up before they merge; ones that compose characters first.
_WHOLE_PIECES_FIRST = ("llama-bpe", "llama3")
_COMPOSED = ("qwen2",)


class JSONTokenizer(TokenizerBase):
    """The tokenizer of Qwen, Llama 3, SmolLM2 and others.

    Args:
        tokenizer_file: a tokenizer.json.
        add_bos_token, add_eos_token: what goes around each sequence; None does as the file says.
        settings: see Settings.

    Raises:
        ModelFileError: the file cannot be read.
        UnsupportedModelError: it puts other tokens around a sequence than BOS and EOS.
        RequestError: an unknown argument.
    """

    vocab_files_names: ClassVar = {"tokenizer_file": TOKENIZER_JSON}
    _class_name = "PreTrainedTokenizerFast"

    def __init__(
        self,
        tokenizer_file: str | os.PathLike[str] | Tokenizer,
        *,
        add_bos_token: bool | None = None,
        add_eos_token: bool | None = None,
        **settings: Any,
    ) -> None:
        if not isinstance(tokenizer_file, Tokenizer):
            tokenizer_file = _read(Path(tokenizer_file))
        self._backend = tokenizer_file
        super().__init__(Settings.read(settings))
        if add_bos_token is None or add_eos_token is None:
            adds_bos, adds_eos = self._adds()
            add_bos_token = adds_bos if add_bos_token is None else add_bos_token
            add_eos_token = adds_eos if add_eos_token is None else add_eos_token
        self.add_bos_token = check_flag("add_bos_token", add_bos_token)
        self.add_eos_token = check_flag("add_eos_token", add_eos_token)

    @classmethod
    def _read_files(cls, path: Path, given: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        file = path / TOKENIZER_JSON if path.is_dir() else path
        return _read(file), read_folder(file.parent, given)

    @classmethod
    def _source(cls, vocabulary: Vocabulary) -> Tokenizer:
        return _from_vocabulary(vocabulary)

    def _take_tokens(self, settings: Settings) -> None:
        for i, token in self._backend.get_added_tokens_decoder().items():
            self._added.put(i, AddedToken.read(token, special=False))
        known = self._added.by_text
        stated = settings.added_tokens_decoder or {}
        tokens = [AddedToken.read(t, special=False) for _, t in sorted(stated.items(), key=_id)]
        settings.added_tokens_decoder = None
        self._add_to_backend([token for token in tokens if token.content not in known])
        super()._take_tokens(settings)

    def _adds(self) -> tuple[bool, bool]:
        """Whether the file puts BOS before a sequence, and EOS after it."""
        encoding = self._backend.encode("a", add_special_tokens=True)
        is_added, ids = encoding.special_tokens_mask, encoding.ids
        n_before = is_added.index(0) if 0 in is_added else len(ids)
        n_after = is_added[::-1].index(0) if 0 in is_added else 0
        before, after = ids[:n_before], ids[len(ids) - n_after :]
        if before not in ([], [self.bos_token_id]) or after not in ([], [self.eos_token_id]):
            raise UnsupportedModelError(
                self.name_or_path or TOKENIZER_JSON, "post_processor",
                expected="BOS before a text and EOS after it, or neither", got=ids,
            )  # fmt: skip
        return bool(before), bool(after)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, those left out that were added to the model's own."""
        return int(self._backend.get_vocab_size(with_added_tokens=False))

    def __len__(self) -> int:
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def get_vocab(self) -> dict[str, int]:
        """All pieces and their ids."""
        return dict(self._backend.get_vocab(with_added_tokens=True))

    def _base_id(self, piece: str) -> int | None:
        return self._backend.token_to_id(piece)

    def _base_piece(self, token_id: int) -> str:
        piece = self._backend.id_to_token(token_id) if token_id >= 0 else None
        if piece is None:
            raise TokenIdError(f"token id: expected 0 to {len(self) - 1}, got {token_id}")
        return piece

    def _unknown_id(self) -> int | None:
        text = self._role_texts.get("unk")
        return None if text is None else self._backend.token_to_id(text)

    def _put(self, token_id: int, token: AddedToken) -> None:
        self._add_to_backend([token])
        super()._put(self._added.by_text[token.content], token)

    def _add_to_backend(self, tokens: Iterable[AddedToken]) -> None:
        for token in tokens:
            self._backend.add_tokens([_AddedToken(**token.as_dict())])
            token_id = self._backend.token_to_id(token.content)
            if token_id is not None:
                self._added.put(token_id, token)

    def tokenize(self, text: str, **options: Any) -> list[str]:
        """The pieces of a text.

        Args:
            text: any text.
            options: `split_special_tokens`, to take special tokens' texts for text.
        """
        is_split = options.pop("split_special_tokens", self.split_special_tokens)
        refuse_unknown(options, ("split_special_tokens",))
        return self.convert_ids_to_tokens(self._text_ids(text, is_split, {}))

    def _text_ids(self, text: str, is_split: bool, options: Mapping[str, Any]) -> list[int]:
        check_text(text)
        self._backend.encode_special_tokens = is_split
        return list(self._backend.encode(text, add_special_tokens=False).ids)

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of pieces."""
        decoder = self._backend.decoder
        return str(decoder.decode(list(tokens))) if decoder is not None else " ".join(tokens)

    def _decode(self, ids: list[int], skips_special: bool, with_spaces: bool) -> str:
        if any(i < 0 for i in ids):
            raise TokenIdError(f"token id: expected 0 to {len(self) - 1}, got {min(ids)}")
        return str(self._backend.decode(ids, skip_special_tokens=skips_special))

    def update_post_processor(self) -> None:
        """Make the file say what `add_bos_token` and `add_eos_token` say.

        Raises:
            RequestError: one is wanted, and there is no such token.
        """
        super().update_post_processor()
        bos = self.bos_token if self.add_bos_token else None
        eos = self.eos_token if self.add_eos_token else None
        named = {text: self.convert_tokens_to_ids(text) for text in (bos, eos) if text}
        steps: list[Any] = [processors.ByteLevel(trim_offsets=False)]
        if named:
            one, two = (
                [*([bos] if bos else []), f"${part}", *([eos] if eos else [])] for part in "AB"
            )
            second = [f"{step}:1" for step in two]
            steps.append(
                processors.TemplateProcessing(
                    single=one, pair=one + second, special_tokens=list(named.items())
                )
            )
        self._backend.post_processor = processors.Sequence(steps)

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...] | None:
        """Write tokenizer.json into an existing folder.

        Returns:
            Its path; None, with a message in the log, where there is no such folder.
        """
        folder = os.fspath(save_directory)
        if not os.path.isdir(folder):
            log.error("%s is no folder: the vocabulary is not saved", folder)
            return None
        if self._adds() != (self.add_bos_token, self.add_eos_token):
            self.update_post_processor()
        name = f"{filename_prefix}-{TOKENIZER_JSON}" if filename_prefix else TOKENIZER_JSON
        target = os.path.join(folder, name)
        self._backend.save(target)
        return (target,)


def _read(path: Path) -> Tokenizer:
    if not path.is_file():
        raise ModelFileError(path, expected="a tokenizer.json", got="no such file")
    try:
        backend = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises plain Exception
        raise ModelFileError(path, expected="a tokenizer.json", got=str(error)) from error
    backend.no_truncation()
    backend.no_padding()
    return backend


def _from_vocabulary(vocabulary: Vocabulary) -> Tokenizer:
    """The `tokenizers` object that a byte-level vocabulary describes."""
    pieces = [piece.decode() for piece in vocabulary.pieces]
    ids = {piece: i for i, piece in reversed(list(enumerate(pieces)))}
    merges = []
    for merge in vocabulary.merges:
        left, _, right = merge.decode().partition(" ")
        merges.append((left, right))
    whole_first = vocabulary.pre in _WHOLE_PIECES_FIRST
    backend = Tokenizer(models.BPE(ids, merges, ignore_merges=whole_first))
    backend.pre_tokenizer = _cutter(PRE_TOKENIZERS[vocabulary.pre])
    backend.decoder = decoders.ByteLevel()
    if vocabulary.pre in _COMPOSED:
        backend.normalizer = normalizers.NFC()
    added = (_AddedToken(**token.as_dict()) for token in added_tokens(vocabulary).values())
    backend.add_tokens(list(added))
    return backend


def _cutter(patterns: Sequence[str]) -> Any:
    """How text is cut, spelled as the families' own files spell it, which `convert` knows."""
    does_words = patterns[-1] == _WORDS
    steps: list[Any] = [
        pre_tokenizers.Digits(individual_digits=True)
        if pattern == _DIGITS
        else pre_tokenizers.Split(Regex(pattern), "isolated")
        for pattern in patterns[: len(patterns) - does_words]
    ]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=does_words))
    return pre_tokenizers.Sequence(steps)


def _id(item: tuple[Any, Any]) -> int:
    return int(item[0])
