"""Special tokens by role, as attributes of a tokenizer.

A role (`bos_token`, `pad_token`, ...) holds a token's text; its id (`bos_token_id`) is looked up,
so that `tokenizer.pad_token = tokenizer.eos_token` is all that padding needs.
"""

from __future__ import annotations

from typing import Any, Protocol

from halfbyte.hf.tokenizer.added_tokens import token_text

ROLES = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


class _Tokens(Protocol):
    role_texts: dict[str, str | None]

    def convert_tokens_to_ids(self, tokens: str) -> int: ...
    def convert_ids_to_tokens(self, ids: int) -> str: ...


class _Role:
    """An attribute that is named after a role, or after a role's id."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._role = name.removesuffix("_id")


class TokenText(_Role):
    """The text of a role's token."""

    def __get__(self, owner: _Tokens, kind: type | None = None) -> str | None:
        return None if owner is None else owner.role_texts.get(self._role)

    def __set__(self, owner: _Tokens, value: Any) -> None:
        owner.role_texts[self._role] = None if value is None else token_text(value, self._role)


class TokenId(_Role):
    """The id of a role's token."""

    def __get__(self, owner: _Tokens, kind: type | None = None) -> int | None:
        text = None if owner is None else owner.role_texts.get(self._role)
        return None if text is None else owner.convert_tokens_to_ids(text)

    def __set__(self, owner: _Tokens, value: int | None) -> None:
        text = None if value is None else owner.convert_ids_to_tokens(int(value))
        owner.role_texts[self._role] = text
