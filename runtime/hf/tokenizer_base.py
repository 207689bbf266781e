"""What all tokenizers with transformers' interface have in common.

The layers, each a module: special and added tokens (`tokenizer_special`), BOS and EOS
(`tokenizer_sequences`), encoding (`tokenizer_encoding`), chat (`tokenizer_chat`), files
(`tokenizer_saving`); here are construction and decoding.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from halfbyte.hf.batch import to_lists
from halfbyte.hf.errors import ArgumentError
from halfbyte.hf.tokenizer_added import AddedToken
from halfbyte.hf.tokenizer_options import leave_out, refuse_unknown
from halfbyte.hf.tokenizer_saving import SavedTokenizer
from halfbyte.hf.tokenizer_settings import LOADING, NOT_LOADING, Settings, names, own_names
from halfbyte.hf.tokenizer_special import ROLES
from halfbyte.hf.tokenizer_vocab import read_gguf
from halfbyte.models import catalogue
from halfbyte.tokenizer import Vocabulary

_T = TypeVar("_T", bound="TokenizerBase")

_CLEAN_UP = (
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
)  # fmt: skip
_DECODE_OPTIONS = ("spaces_between_special_tokens", "use_source_tokenizer")


def locate(
    name_or_path: str | os.PathLike[str], arguments: Mapping[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """Where a model's tokenizer lies, and the arguments that are not about finding it.

    Raises:
        RequestError: neither a path nor a name.
        ModelFileError: nothing lies there.
        DownloadError: it could not be pulled.
    """
    pull = not arguments.get("local_files_only")
    given = leave_out(arguments, NOT_LOADING, LOADING)
    return catalogue.resolve(name_or_path, pull=pull), given


class TokenizerBase(SavedTokenizer):
    """The interface; `CodeLlamaTokenizer` and its siblings fill it in.

    Attributes:
        add_bos_token, add_eos_token: whether each sequence gets BOS before it, EOS after it.
        padding_side, truncation_side: "right" or "left".
        model_max_length: tokens that the model can take.
        model_input_names: what an encoding holds unless asked otherwise.
        clean_up_tokenization_spaces: what `decode` does unless asked otherwise.
        split_special_tokens: special tokens' texts are text.
        name_or_path: what it was loaded from.
    """

    vocab_files_names: ClassVar[Mapping[str, str]] = {}

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.name_or_path = settings.name_or_path
        self.model_max_length = int(settings.model_max_length or 0)
        self.padding_side = settings.padding_side
        self.truncation_side = settings.truncation_side
        self.clean_up_tokenization_spaces = settings.clean_up_tokenization_spaces
        self.split_special_tokens = settings.split_special_tokens
        self.chat_template = settings.chat_template
        self.model_input_names = list(settings.model_input_names)
        self._take_tokens(settings)

    @classmethod
    def from_pretrained(
        cls: type[_T],
        pretrained_model_name_or_path: str | os.PathLike[str],
        **arguments: Any,
    ) -> _T:
        """The tokenizer of a model.

        Args:
            pretrained_model_name_or_path: a folder, a vocabulary file, a .gguf file, or a name
                that `halfbyte.load` takes.
            arguments: the constructor's, which win over the folder's files;
                `local_files_only=True` pulls nothing.

        Raises:
            RequestError: an unknown argument, or neither a path nor a name.
            ModelFileError: nothing usable lies there.
        """
        path, given = locate(pretrained_model_name_or_path, arguments)
        name = os.fspath(pretrained_model_name_or_path)
        if path.suffix == ".gguf":
            return cls.from_vocabulary(*read_gguf(path), given, name)
        vocabulary, stated = cls._read_files(path, given)
        return cls._build(vocabulary, stated, given, name)

    @classmethod
    def from_vocabulary(
        cls: type[_T],
        vocabulary: Vocabulary,
        stated: Mapping[str, Any],
        given: Mapping[str, Any],
        name: str,
    ) -> _T:
        """The tokenizer on a vocabulary that is read already.

        Args:
            vocabulary: its pieces.
            stated: the constructor's arguments that the file states.
            given: those of a call, which win.
            name: what it was loaded from.
        """
        return cls._build(cls._source(vocabulary), {**stated, **given}, given, name)

    @classmethod
    def _source(cls, vocabulary: Vocabulary) -> Any:
        """What the constructor takes for a vocabulary."""
        return vocabulary

    @classmethod
    def _build(
        cls: type[_T], source: Any, stated: Mapping[str, Any], given: Mapping[str, Any], name: str
    ) -> _T:
        known = names() | own_names(cls.__init__)
        arguments = {key: v for key, v in stated.items() if key in known or key in given}
        return cls(source, **{"name_or_path": name, **arguments})

    @classmethod
    def _read_files(cls, path: Path, given: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """What the constructor takes for a folder or a file of it, and its other arguments."""
        raise NotImplementedError

    def _take_tokens(self, settings: Settings) -> None:
        """Added tokens as they are; special ones are added where the vocabulary lacks them."""
        for i, value in (settings.added_tokens_decoder or {}).items():
            token = AddedToken.read(value, special=False, name="added_tokens_decoder")
            self._added.put(int(i), token)
        given: list[Any] = [getattr(settings, f"{role}_token") for role in ROLES]
        for role, value in zip(ROLES, given, strict=True):
            setattr(self, f"{role}_token", value)
        self.additional_special_tokens = settings.additional_special_tokens
        given += settings.additional_special_tokens or []
        missing = [AddedToken.read(v) for v in given if v is not None]
        missing = [token for token in missing if token.content not in self._added.by_text]
        self.add_tokens(list(dict.fromkeys(missing)), special_tokens=True)

    @property
    def is_fast(self) -> bool:
        """False: there are no offsets into the text."""
        return False

    def __repr__(self) -> str:
        shown = (
            "name_or_path", "vocab_size", "model_max_length", "is_fast", "padding_side",
            "truncation_side", "clean_up_tokenization_spaces",
        )  # fmt: skip
        facts = ", ".join(f"{name}={getattr(self, name)!r}" for name in shown)
        return f"{type(self).__name__}({facts}, special_tokens={self.special_tokens_map!r})"

    # Decoding.

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of pieces."""
        raise NotImplementedError

    def _decode(self, ids: list[int], skips_special: bool, with_spaces: bool) -> str:
        """The text of ids, before it is cleaned up."""
        raise NotImplementedError

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **options: Any,
    ) -> str:
        """The text of ids.

        Args:
            token_ids: an id, or a list or array of ids.
            skip_special_tokens: leave special tokens out.
            clean_up_tokenization_spaces: take spaces before punctuation out; None does as the
                tokenizer's attribute says.
            options: `spaces_between_special_tokens`, True unless said otherwise: set added tokens
                off by spaces.

        Raises:
            RequestError: not ids of one sequence, or an unknown option.
            TokenIdError: an id that the vocabulary does not have.
        """
        refuse_unknown(options, _DECODE_OPTIONS)
        ids = to_lists(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        if not isinstance(ids, list) or not all(isinstance(i, int) for i in ids):
            raise ArgumentError(
                "token_ids", expected="the ids of one sequence", got=repr(token_ids),
                hint="for several sequences use batch_decode",
            )  # fmt: skip
        with_spaces = bool(options.get("spaces_between_special_tokens", True))
        text = self._decode(ids, skip_special_tokens, with_spaces)
        stated = clean_up_tokenization_spaces
        cleans = self.clean_up_tokenization_spaces if stated is None else stated
        return self.clean_up_tokenization(text) if cleans else text

    def batch_decode(
        self,
        sequences: Iterable[Any],
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **options: Any,
    ) -> list[str]:
        """The texts of several sequences; see `decode`."""
        return [
            self.decode(ids, skip_special_tokens, clean_up_tokenization_spaces, **options)
            for ids in sequences
        ]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """A text without spaces before English punctuation and contractions."""
        for spaced, tight in _CLEAN_UP:
            out_string = out_string.replace(spaced, tight)
        return out_string
