"""Tokenizers that a tokenizer.json describes, and byte-level vocabularies of .gguf files.

The `tokenizers` package does the work, so that ids are those of transformers' fast tokenizers:
special tokens are found in text; a family's normalization and way of cutting text are its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tokenizers import AddedToken as _AddedToken
from tokenizers import (
    Encoding,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from halfbyte.call_arguments import check_path
from halfbyte.errors import (
    HalfbyteError,
    MissingFileError,
    ModelFileError,
    UnsupportedModelError,
)
from halfbyte.hf.alignment import Tokens
from halfbyte.hf.arguments import FLAGS, one_of
from halfbyte.hf.errors import TokenIdError
from halfbyte.hf.tokenizer.added_tokens import AddedToken
from halfbyte.hf.tokenizer.pretrained_tokenizer import PreTrainedTokenizer
from halfbyte.hf.tokenizer.saved_files import TOKENIZER_JSON
from halfbyte.hf.tokenizer.token_table import TokenTable
from halfbyte.hf.tokenizer.vocabularies import added_tokens
from halfbyte.tokenizer import Vocabulary
from halfbyte.tokenizer.normalization import Normalizer
from halfbyte.tokenizer.pretokenizers import PRE_TOKENIZERS, WHOLE_PIECES_FIRST
from halfbyte.tokenizer.tokenizer import check_text
from halfbyte.tokenizer.vocabulary import NORMALIZER_KEY

_ONE_TOKEN_EACH = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
_DIGITS, _WORDS = r"\p{N}", PRE_TOKENIZERS["gpt-2"][0]
# Families that compose characters first.
_COMPOSED = ("qwen2",)


class JSONTokenizer(PreTrainedTokenizer):
    """The tokenizer of Qwen, Llama 3, SmolLM2 and others.

    Args:
        tokenizer_file: a tokenizer.json.
        add_bos_token, add_eos_token: what goes around each sequence; None does as the file says.
        arguments: see PreTrainedTokenizer.

    Raises:
        ModelFileError: the file cannot be read.
        UnsupportedModelError: it puts other tokens around a sequence than BOS and EOS.
        RequestError: an unknown argument.
    """

    vocabulary_files = (TOKENIZER_JSON,)
    class_name = "PreTrainedTokenizerFast"

    def __init__(
        self,
        tokenizer_file: str | os.PathLike[str] | Tokenizer | Vocabulary,
        *,
        add_bos_token: bool | None = None,
        add_eos_token: bool | None = None,
        **arguments: Any,
    ) -> None:
        if isinstance(tokenizer_file, Vocabulary):
            self._backend = _from_vocabulary(tokenizer_file)
        elif isinstance(tokenizer_file, Tokenizer):
            self._backend = tokenizer_file
        else:
            self._backend = _read(Path(check_path("tokenizer_file", tokenizer_file)))
        super().__init__(_JSONPieces(self._backend), **arguments)
        self._file_adds: tuple[bool, bool] | None = None  # where the file has said it
        if add_bos_token is None or add_eos_token is None:
            with _package(self.name_or_path or TOKENIZER_JSON, "post_processor", "tokens it has"):
                self._file_adds = adds_bos, adds_eos = self._adds()
            add_bos_token = adds_bos if add_bos_token is None else add_bos_token
            add_eos_token = adds_eos if add_eos_token is None else add_eos_token
        self.add_bos_token = one_of("add_bos_token", add_bos_token, FLAGS)
        self.add_eos_token = one_of("add_eos_token", add_eos_token, FLAGS)

    def _adds(self) -> tuple[bool, bool]:
        """Whether the file puts BOS before a sequence, and EOS after it."""
        encoding = self._surrounded("a")
        is_added, ids = encoding.special_tokens_mask, encoding.ids
        n_before, n_after = is_added.index(0), is_added[::-1].index(0)
        before, after = ids[:n_before], ids[len(ids) - n_after :]
        if before not in ([], [self.bos_token_id]) or after not in ([], [self.eos_token_id]):
            raise UnsupportedModelError(
                self.name_or_path or TOKENIZER_JSON, "post_processor",
                expected="BOS before a text and EOS after it, or neither", got=ids,
            )  # fmt: skip
        return bool(before), bool(after)

    def _surrounded(self, text: str, pair: str | None = None) -> Encoding:
        """The file's tokens around a text or a pair of which each has one token, 0 and 1."""
        second = None if pair is None else _ONE_TOKEN_EACH.encode(pair)
        processor = self._backend.post_processor or processors.Sequence([])
        return processor.process(_ONE_TOKEN_EACH.encode(text), second)

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """As for all; UnsupportedModelError for a pair that the file surrounds otherwise."""
        built = super().build_inputs_with_special_tokens(token_ids_0, token_ids_1)
        adds = self.add_bos_token, self.add_eos_token
        if token_ids_1 is not None and adds == self._file_adds:
            ids = super().build_inputs_with_special_tokens([0], [1])
            types = self.create_token_type_ids_from_sequences([0], [1])
            pair = self._surrounded("a", "b")
            if (pair.ids, pair.type_ids) != (ids, types):
                raise UnsupportedModelError(
                    self.name_or_path or TOKENIZER_JSON, "post_processor: pair",
                    expected=f"{ids} for a pair, as for two texts", got=pair.ids,
                )  # fmt: skip
        return built

    def get_vocab(self) -> dict[str, int]:
        """All pieces and their ids."""
        return dict(self._backend.get_vocab(with_added_tokens=True))

    def text_tokens(self, text: str, is_split: bool, options: Mapping[str, Any]) -> Tokens:
        """Tokens of one text, without BOS and EOS."""
        check_text(text)
        self._backend.encode_special_tokens = is_split
        encoding = self._backend.encode(text, add_special_tokens=False)
        return Tokens.of_text(encoding.ids, encoding.offsets, encoding.word_ids)

    def _update_post_processor(self) -> None:
        """Make the file say what `add_bos_token` and `add_eos_token` say."""
        self.build_inputs_with_special_tokens([])  # raises where there is no such token
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
        """As for all, with BOS and EOS in the file as the attributes say."""
        if self._adds() != (self.add_bos_token, self.add_eos_token):
            self._update_post_processor()
        return super().save_vocabulary(save_directory, filename_prefix)


class _JSONPieces:
    """The pieces of a `tokenizers` object; it implements `Pieces`."""

    def __init__(self, backend: Tokenizer) -> None:
        self.backend = backend
        self.n_pieces = int(backend.get_vocab_size(with_added_tokens=False))
        own = backend.get_added_tokens_decoder()
        self.added = {i: AddedToken.read(token, special=False) for i, token in own.items()}

    def id_of(self, piece: str) -> int | None:
        return self.backend.token_to_id(piece)

    def piece(self, token_id: int) -> str:
        piece = self.backend.id_to_token(token_id) if token_id >= 0 else None
        if piece is None:
            raise self._no_such(token_id)
        return piece

    def unknown_id(self, unk_token: str | None) -> int | None:
        return None if unk_token is None else self.backend.token_to_id(unk_token)

    def add(self, token: AddedToken, token_id: int) -> int:
        self.backend.add_tokens([_AddedToken(**asdict(token))])
        found = self.backend.token_to_id(token.content)
        return token_id if found is None else found

    def to_text(self, pieces: Sequence[str], tokens: TokenTable) -> str:
        decoder = self.backend.decoder
        return str(decoder.decode(list(pieces))) if decoder is not None else " ".join(pieces)

    def decode(self, ids: list[int], tokens: TokenTable, skips: bool, spaces: bool) -> str:
        if any(i < 0 for i in ids):
            raise self._no_such(min(ids))
        return str(self.backend.decode(ids, skip_special_tokens=skips))

    def save(self, path: str) -> None:
        self.backend.save(path)

    def _no_such(self, token_id: int) -> TokenIdError:
        last = self.backend.get_vocab_size(with_added_tokens=True) - 1
        return TokenIdError(f"token id: expected 0 to {last}, got {token_id}")


def _read(path: Path) -> Tokenizer:
    if not path.is_file():
        raise MissingFileError(path, expected="a tokenizer.json", got="no such file")
    with _package(path, "", "a tokenizer.json"):
        backend = Tokenizer.from_file(str(path))
    backend.no_truncation()
    backend.no_padding()
    return backend


@contextmanager
def _package(path: str | os.PathLike[str], field: str, expected: str) -> Iterator[None]:
    """Names a file in what the package raises: plain Exception, or where it panics its own kind."""
    try:
        yield
    except HalfbyteError:
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ModelFileError(path, field, expected=expected, got=str(error)) from error
        raise


def _from_vocabulary(vocabulary: Vocabulary) -> Tokenizer:
    """The `tokenizers` object that a byte-level vocabulary describes."""
    if vocabulary.pre not in PRE_TOKENIZERS:
        raise UnsupportedModelError(
            vocabulary.path, "tokenizer.ggml.pre", expected="a byte-level vocabulary's",
            got=vocabulary.pre, hint="halfbyte.Tokenizer reads it",
        )  # fmt: skip
    pieces = [piece.decode() for piece in vocabulary.pieces]
    ids = {piece: i for i, piece in reversed(list(enumerate(pieces)))}
    merges = []
    for merge in vocabulary.merges:
        left, _, right = merge.decode().partition(" ")
        merges.append((left, right))
    whole_first = vocabulary.ignore_merges
    if whole_first is None:
        whole_first = vocabulary.pre in WHOLE_PIECES_FIRST
    backend = Tokenizer(models.BPE(ids, merges, ignore_merges=whole_first))
    backend.pre_tokenizer = _cutter(PRE_TOKENIZERS[vocabulary.pre])
    backend.decoder = decoders.ByteLevel()
    normalizer = _normalizer(vocabulary)
    if normalizer is not None:
        backend.normalizer = normalizer
    added = (_AddedToken(**asdict(token)) for token in added_tokens(vocabulary).values())
    backend.add_tokens(list(added))
    return backend


def _normalizer(v: Vocabulary) -> Any:
    """What a file says; of one that says nothing, what its family's own files say."""
    if v.normalizer is None:
        return normalizers.NFC() if v.pre in _COMPOSED else None
    return Normalizer.of_text(
        v.normalizer,
        lambda expected, got: ModelFileError(v.path, NORMALIZER_KEY, expected=expected, got=got),
    ).backend


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
