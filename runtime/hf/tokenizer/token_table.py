"""The tokens of a tokenizer: a model's own pieces, added tokens, and which of them are special."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, overload

from halfbyte.call_arguments import check_flag, is_whole
from halfbyte.errors import RequestError
from halfbyte.hf.alignment import Tokens
from halfbyte.hf.arguments import Side
from halfbyte.hf.batch import to_lists
from halfbyte.hf.tokenizer.added_tokens import AddedToken, AddedTokens, token_text
from halfbyte.hf.tokenizer.roles import ROLES, TokenId, TokenText

_LIST = "additional_special_tokens"


class Pieces(Protocol):
    """A kind of vocabulary: the pieces that a model has of its own, and text from them.

    `decode` leaves special tokens out where it `skips` them, and sets added ones off by `spaces`.
    """

    @property
    def n_pieces(self) -> int: ...
    @property
    def added(self) -> Mapping[int, AddedToken]: ...  # those that text is searched for
    def id_of(self, piece: str) -> int | None: ...
    def piece(self, token_id: int) -> str: ...  # raises TokenIdError
    def unknown_id(self, unk_token: str | None) -> int | None: ...
    def add(self, token: AddedToken, token_id: int) -> int: ...  # the id that it gets
    def to_text(self, pieces: Sequence[str], tokens: TokenTable) -> str: ...
    def decode(self, ids: list[int], tokens: TokenTable, skips: bool, spaces: bool) -> str: ...
    def save(self, path: str) -> None: ...


class TokenTable(ABC):
    """What transformers calls special and added tokens, and its names for pieces and ids.

    Args:
        pieces: the model's own.
        added: tokens that text is searched for, by id.
        special: role -> token, as "bos_token"; tokens that the vocabulary lacks are added.
        additional: special tokens without a role, which are added too.
    """

    SPECIAL_TOKENS_ATTRIBUTES = (*ROLES, _LIST)

    bos_token, bos_token_id = TokenText(), TokenId()
    eos_token, eos_token_id = TokenText(), TokenId()
    unk_token, unk_token_id = TokenText(), TokenId()
    sep_token, sep_token_id = TokenText(), TokenId()
    pad_token, pad_token_id = TokenText(), TokenId()
    cls_token, cls_token_id = TokenText(), TokenId()
    mask_token, mask_token_id = TokenText(), TokenId()
    pad_token_type_id = 0
    add_bos_token = False
    add_eos_token = False

    # What encoding goes by, as a tokenizer's constructor sets it.
    text_options: ClassVar[tuple[str, ...]] = ()  # of a call, beside EncodeOptions
    model_max_length: int
    model_input_names: list[str]
    padding_side: Side
    truncation_side: Side
    split_special_tokens: bool
    has_warned = False  # that a text is too long

    def __init__(
        self, pieces: Pieces, added: Mapping[int, AddedToken], special: Mapping[str, Any],
        additional: Any,
    ) -> None:  # fmt: skip
        self._pieces, self._added = pieces, AddedTokens()
        self.role_texts: dict[str, str | None] = {}
        for i, token in pieces.added.items():
            self._added.put(i, token)
        for i, token in sorted(added.items()):
            if pieces.added.get(i) != token:
                self._added.put(pieces.add(token, i), token)
        for name, value in special.items():
            setattr(self, name, value)
        self.additional_special_tokens = additional
        given = [*special.items(), *((_LIST, token) for token in self._additional)]
        missing = [AddedToken.read(v, name=name) for name, v in given if v is not None]
        missing = [token for token in missing if token.content not in self._added.by_text]
        self.add_tokens(list(dict.fromkeys(missing)), special_tokens=True)

    def search(self, text: str, is_split: bool) -> Iterable[tuple[str, int | None]]:
        """A text in parts: added tokens, unless they are split as text, with their ids."""
        return [(text, None)] if is_split else self._added.split(text)

    @abstractmethod
    def text_tokens(self, text: str, is_split: bool, options: Mapping[str, Any]) -> Tokens:
        """Tokens of one text, without BOS and EOS; `is_split` where special texts are text."""

    # Pieces and ids.

    @property
    def vocab_size(self) -> int:
        """Number of tokens, those left out that were added to the model's own."""
        return self._pieces.n_pieces

    def __len__(self) -> int:
        return len(self.get_vocab())

    def get_vocab(self) -> dict[str, int]:
        """All pieces and their ids."""
        pieces = self.convert_ids_to_tokens(range(self.vocab_size))
        return {piece: i for i, piece in enumerate(pieces)} | self.get_added_vocab()

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    @overload
    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]: ...
    @overload
    def convert_tokens_to_ids(self, tokens: None) -> None: ...
    def convert_tokens_to_ids(self, tokens: str | Sequence[str] | None) -> int | list[int] | None:
        """The id of a piece, or of each piece; for one that is unknown, the unknown token's."""
        if tokens is None:
            return None
        if not isinstance(tokens, str):
            if not isinstance(tokens, (list, tuple)):
                raise RequestError("tokens", expected="a piece, or a list of them", got=tokens)
            return [self.convert_tokens_to_ids(token) for token in tokens]
        known = self._known_id(tokens)
        return self._pieces.unknown_id(self.unk_token) if known is None else known

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str: ...
    @overload
    def convert_ids_to_tokens(
        self, ids: Iterable[int], skip_special_tokens: bool = False
    ) -> list[str]: ...
    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str]:
        """The piece of an id, or of each; raises TokenIdError for one that does not exist."""
        if not isinstance(ids, int) and not is_whole(ids):
            skips = check_flag("skip_special_tokens", skip_special_tokens)
            skipped = set(self.all_special_ids) if skips else set()
            is_lazy = isinstance(ids, Iterable) and not hasattr(ids, "tolist")
            listed = to_lists(list(ids) if is_lazy else ids)
            if not isinstance(listed, list) or not all(map(is_whole, listed)):
                raise RequestError("ids", expected="an id, or some of them", got=ids)
            return [self.convert_ids_to_tokens(i) for i in listed if i not in skipped]
        added = self._added.by_id.get(ids)
        return self._pieces.piece(ids) if added is None else added.content

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of pieces."""
        return self._pieces.to_text(tokens, self)

    # Special tokens.

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens without a role."""
        return list(self._additional)

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Any) -> None:
        texts = (token_text(token, _LIST) for token in token_list(tokens or ()))
        self._additional = list(dict.fromkeys(texts))

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """Ids of the special tokens without a role."""
        return self.convert_tokens_to_ids(self._additional)

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """Role -> text of its token, and the list of those without one."""
        stated = {name: getattr(self, name) for name in self.SPECIAL_TOKENS_ATTRIBUTES}
        return {name: value for name, value in stated.items() if value}

    @property
    def all_special_tokens(self) -> list[str]:
        """Texts of all special tokens, each once."""
        roles = [text for name in ROLES if (text := self.role_texts.get(name))]
        return list(dict.fromkeys(roles + self._additional))

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of all special tokens."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    # Added tokens.

    def added_token(self, token_id: int) -> AddedToken | None:
        """The token that text is searched for, of that id."""
        return self._added.by_id.get(token_id)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens that text is searched for, by id."""
        return dict(sorted(self._added.by_id.items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The tokens that text is searched for, and their ids."""
        return {token.content: i for i, token in sorted(self._added.by_id.items())}

    def get_added_vocab(self) -> dict[str, int]:
        """The same."""
        return self.added_tokens_encoder

    @property
    def max_len_single_sentence(self) -> int:
        """How many tokens a text may have, so that the model can take it."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """How many tokens a pair of texts may have together."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add tokens that text is searched for; ids go on where the vocabulary ends.

        A token that is a piece already keeps its id. A model has no embedding for new ids.

        Returns:
            How many ids are new.
        """
        is_one = isinstance(new_tokens, str) or not isinstance(new_tokens, Iterable)
        n_new, n_all = 0, len(self)
        for value in [new_tokens] if is_one else list(new_tokens):
            is_special = special_tokens or value in self.all_special_tokens
            token = AddedToken.read(value, special=is_special, name="new_tokens")
            known = self._known_id(token.content)
            if not token.content or (isinstance(value, str) and value in self._added.by_text):
                continue
            if known is None:
                known, n_new = n_all + n_new, n_new + 1
            self._added.put(self._pieces.add(token, known), token)
            if token.special and token.content not in self.all_special_tokens:
                self._additional.append(token.content)
        return n_new

    def add_special_tokens(
        self, special_tokens_dict: Mapping[str, Any], replace_additional_special_tokens: bool = True
    ) -> int:
        """Give roles to tokens, adding those that the vocabulary lacks.

        Args:
            special_tokens_dict: names such as "pad_token" or "additional_special_tokens".
            replace_additional_special_tokens: replace the list of them, or extend it.

        Returns:
            How many ids are new.

        Raises:
            RequestError: an unknown name.
        """
        added: list[AddedToken] = []
        for name, value in special_tokens_dict.items():
            if name not in self.SPECIAL_TOKENS_ATTRIBUTES:
                known = ", ".join(self.SPECIAL_TOKENS_ATTRIBUTES)
                raise RequestError("special_tokens_dict", expected=f"one of {known}", got=name)
            values = token_list(value) if name == _LIST else [value]
            tokens = [AddedToken.read(item, name=name) for item in values]
            if name != _LIST:
                setattr(self, name, tokens[0])
            elif tokens:
                old = [] if replace_additional_special_tokens else self._additional
                self.additional_special_tokens = [*old, *tokens]
            added += tokens
        return self.add_tokens(added, special_tokens=True)

    # Sequences: BOS before each and EOS after it; a pair is two such sequences.

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """The ids of a sequence or a pair with BOS and EOS; raises RequestError for lack of one."""
        bos = self._wanted("bos_token", self.bos_token_id) if self.add_bos_token else []
        eos = self._wanted("eos_token", self.eos_token_id) if self.add_eos_token else []
        return _surround(bos, eos, token_ids_0, token_ids_1)

    def get_special_tokens_mask(
        self,
        token_ids_0: Sequence[int],
        token_ids_1: Sequence[int] | None = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for each token that `build_inputs_with_special_tokens` adds, 0 for the others.

        Where the ids have their special tokens already, 1 stands for every special token;
        RequestError for a second sequence then.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise RequestError("token_ids_1", expected="None: the ids are one sequence")
            special = set(self.all_special_ids)
            return [int(i in special) for i in token_ids_0]
        bos, eos = [1] * self.add_bos_token, [1] * self.add_eos_token
        second = None if token_ids_1 is None else [0] * len(token_ids_1)
        return _surround(bos, eos, [0] * len(token_ids_0), second)

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """0 for each token of the first sequence, 1 for the second, BOS and EOS included."""
        n_added = self.num_special_tokens_to_add()
        types = [0] * (n_added + len(token_ids_0))
        return types if token_ids_1 is None else types + [1] * (n_added + len(token_ids_1))

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many tokens `build_inputs_with_special_tokens` adds."""
        return (int(self.add_bos_token) + int(self.add_eos_token)) * (2 if pair else 1)

    def _wanted(self, name: str, token_id: int | None) -> list[int]:
        if token_id is None:
            expected = f"False where there is no {name}"
            raise RequestError(f"add_{name}", expected=expected, got="True")
        return [token_id]

    def _known_id(self, piece: str) -> int | None:
        known = self._added.by_text.get(piece)
        return self._pieces.id_of(piece) if known is None else known


def token_list(value: Any) -> list[Any]:
    """Additional special tokens as a list; raises RequestError for anything else."""
    if isinstance(value, (str, Mapping)) or not isinstance(value, Iterable):
        raise RequestError(_LIST, expected="a list of tokens", got=repr(value))
    return list(value)


def _surround(
    bos: list[int], eos: list[int], first: Sequence[int], second: Sequence[int] | None
) -> list[int]:
    whole = [*bos, *first, *eos]
    return whole if second is None else [*whole, *bos, *second, *eos]
