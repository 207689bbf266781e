"""Special tokens by role, and tokens added to a vocabulary.

A role (`bos_token`, `pad_token`, ...) holds a token's text; its id (`bos_token_id`) is looked up,
so that `tokenizer.pad_token = tokenizer.eos_token` is all that padding needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

from halfbyte.hf.errors import ArgumentError
from halfbyte.hf.tokenizer_added import AddedToken, AddedTokens, token_text

ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
_LIST = "additional_special_tokens"


class _TokenText:
    """The text of a role's token."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __get__(self, owner: SpecialTokens, kind: type | None = None) -> str | None:
        return None if owner is None else owner._role_texts.get(self._role)

    def __set__(self, owner: SpecialTokens, value: Any) -> None:
        name = f"{self._role}_token"
        owner._role_texts[self._role] = None if value is None else token_text(value, name)


class _TokenId:
    """The id of a role's token."""

    def __init__(self, role: str) -> None:
        self._role = role

    def __get__(self, owner: SpecialTokens, kind: type | None = None) -> int | None:
        text = None if owner is None else owner._role_texts.get(self._role)
        return None if text is None else owner.convert_tokens_to_ids(text)

    def __set__(self, owner: SpecialTokens, value: int | None) -> None:
        text = None if value is None else owner._id_to_piece(int(value))
        owner._role_texts[self._role] = text


class SpecialTokens:
    """The part of a tokenizer that knows which tokens are special and which were added."""

    SPECIAL_TOKENS_ATTRIBUTES = (*(f"{role}_token" for role in ROLES), _LIST)

    bos_token, bos_token_id = _TokenText("bos"), _TokenId("bos")
    eos_token, eos_token_id = _TokenText("eos"), _TokenId("eos")
    unk_token, unk_token_id = _TokenText("unk"), _TokenId("unk")
    sep_token, sep_token_id = _TokenText("sep"), _TokenId("sep")
    pad_token, pad_token_id = _TokenText("pad"), _TokenId("pad")
    cls_token, cls_token_id = _TokenText("cls"), _TokenId("cls")
    mask_token, mask_token_id = _TokenText("mask"), _TokenId("mask")
    pad_token_type_id = 0

    def __init__(self) -> None:
        self._role_texts: dict[str, str | None] = {}
        self._additional: list[str] = []
        self._added = AddedTokens()

    # What a kind of vocabulary has to say.

    @property
    def vocab_size(self) -> int:
        """Number of tokens, those left out that were added to the model's own."""
        raise NotImplementedError

    def _base_id(self, piece: str) -> int | None:
        """The id of a piece of the model's own vocabulary."""
        raise NotImplementedError

    def _base_piece(self, token_id: int) -> str:
        """The piece of an id of the model's own vocabulary."""
        raise NotImplementedError

    # Pieces and ids.

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
        if isinstance(tokens, str):
            return self._piece_to_id(tokens)
        return [self._piece_to_id(token) for token in tokens]

    @overload
    def convert_ids_to_tokens(self, ids: int, skip_special_tokens: bool = False) -> str: ...
    @overload
    def convert_ids_to_tokens(
        self, ids: Iterable[int], skip_special_tokens: bool = False
    ) -> list[str]: ...
    def convert_ids_to_tokens(
        self, ids: int | Iterable[int], skip_special_tokens: bool = False
    ) -> str | list[str]:
        """The piece of an id, or of each id.

        Raises:
            TokenIdError: an id that the vocabulary does not have.
        """
        if isinstance(ids, int):
            return self._id_to_piece(ids)
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        return [self._id_to_piece(int(i)) for i in ids if int(i) not in skipped]

    def get_vocab(self) -> dict[str, int]:
        """All pieces and their ids."""
        vocab = {self._id_to_piece(i): i for i in range(self.vocab_size)}
        return vocab | self.added_tokens_encoder

    def get_added_vocab(self) -> dict[str, int]:
        """The tokens that text is searched for, and their ids."""
        return self.added_tokens_encoder

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The tokens that text is searched for, and their ids."""
        return {token.content: i for i, token in sorted(self._added.by_id.items())}

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens that text is searched for, by id."""
        return dict(sorted(self._added.by_id.items()))

    def __len__(self) -> int:
        return len(self.get_vocab())

    # Special tokens.

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens without a role."""
        return list(self._additional)

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Iterable[Any] | None) -> None:
        texts = (token_text(token, _LIST) for token in _checked_list(tokens or ()))
        self._additional = list(dict.fromkeys(texts))

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """Ids of the special tokens without a role."""
        return self.convert_tokens_to_ids(self._additional)

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """Role -> text of its token, and the list of those without one."""
        roles = {f"{role}_token": self._role_texts.get(role) for role in ROLES}
        return {k: v for k, v in {**roles, _LIST: self.additional_special_tokens}.items() if v}

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """The same with AddedToken objects where a token was added as one."""

        def extended(text: str) -> AddedToken | str:
            i = self._added.by_text.get(text)
            return text if i is None else self._added.by_id[i]

        return {
            name: [extended(t) for t in value] if isinstance(value, list) else extended(value)
            for name, value in self.special_tokens_map.items()
        }

    @property
    def all_special_tokens(self) -> list[str]:
        """Texts of all special tokens, each once."""
        roles = [text for role in ROLES if (text := self._role_texts.get(role))]
        return list(dict.fromkeys(roles + self._additional))

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of all special tokens."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    # Adding.

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
            self._put(known, token)
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
                raise ArgumentError("special_tokens_dict", expected=f"one of {known}", got=name)
            is_list = name == _LIST
            tokens = [
                AddedToken.read(item, name=name)
                for item in (_checked_list(value) if is_list else [value])
            ]
            if not is_list:
                setattr(self, name, tokens[0])
            elif tokens:
                old = [] if replace_additional_special_tokens else self._additional
                self.additional_special_tokens = [*old, *tokens]
            added += tokens
        return self.add_tokens(added, special_tokens=True)

    def _put(self, token_id: int, token: AddedToken) -> None:
        self._added.put(token_id, token)
        if token.special and token.content not in self.all_special_tokens:
            self._additional.append(token.content)

    def _known_id(self, piece: str) -> int | None:
        known = self._added.by_text.get(piece)
        return self._base_id(piece) if known is None else known

    def _piece_to_id(self, piece: str) -> Any:
        known = self._known_id(piece)
        return self._unknown_id() if known is None else known

    def _unknown_id(self) -> int | None:
        """The id for a piece that is none."""
        raise NotImplementedError

    def _id_to_piece(self, token_id: int) -> str:
        added = self._added.by_id.get(token_id)
        return self._base_piece(token_id) if added is None else added.content


def _checked_list(value: Any) -> list[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ArgumentError(_LIST, expected="a list of tokens", got=repr(value))
    return list(value)
