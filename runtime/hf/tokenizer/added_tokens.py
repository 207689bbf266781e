"""Tokens that text is searched for before it is cut: special tokens, and those a user adds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.lazy_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class AddedToken:
    """A token that is found in text as it is spelled.

    Attributes:
        content: the spelling.
        lstrip, rstrip: whitespace on that side of it is dropped.
        single_word: not found where it touches another word.
        normalized: kept for files; text is not normalized before the search.
        special: skipped by `skip_special_tokens`, once a role names it.
    """

    content: str
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool = False
    special: bool = True

    def __str__(self) -> str:
        return self.content

    @classmethod
    def read(cls, value: object, *, special: bool = True, name: str = "token") -> AddedToken:
        """A token from its text, a file's object or another library's; RequestError otherwise."""
        if isinstance(value, cls):
            return replace(value, special=value.special or special)
        flags = ("lstrip", "rstrip", "single_word", "normalized", "special")
        content: object
        stated: dict[str, Any]
        if isinstance(value, str):
            content, stated = value, {"normalized": not special}
        elif isinstance(value, Mapping):
            content, stated = value.get("content"), {k: value[k] for k in flags if k in value}
        else:
            content = getattr(value, "content", None)
            stated = {k: getattr(value, k) for k in flags if hasattr(value, k)}
        if not isinstance(content, str) or not all(type(v) is bool for v in stated.values()):
            raise RequestError(name, expected="a token's text", got=repr(value))
        if any("\ud800" <= c <= "\udfff" for c in content):
            raise RequestError(name, expected="a text without lone surrogates", got=repr(content))
        stated["special"] = stated.get("special", False) or special
        return cls(content, **stated)


def token_text(token: object, name: str = "token") -> str:
    """The text of a token in any form that AddedToken.read takes; RequestError otherwise."""
    return token if isinstance(token, str) else AddedToken.read(token, name=name).content


def read_tokens(value: Any) -> dict[int, AddedToken]:
    """Tokens by id, as `added_tokens_decoder` states them; raises RequestError otherwise."""
    name, stated = "added_tokens_decoder", {} if value is None else value
    if not (isinstance(stated, Mapping) and all(str(key).isdecimal() for key in stated)):
        raise RequestError(name, expected="tokens by id", got=repr(value))
    return {int(i): AddedToken.read(t, special=False, name=name) for i, t in stated.items()}


class AddedTokens:
    """Added tokens by id and by text, and the search for them."""

    def __init__(self) -> None:
        self.by_id: dict[int, AddedToken] = {}
        self.by_text: dict[str, int] = {}

    def put(self, token_id: int, token: AddedToken) -> None:
        """Add a token, or replace the one of that id."""
        self.by_id[token_id] = token
        self.by_text[token.content] = token_id
        self.__dict__.pop("_pattern", None)

    def split(self, text: str) -> Iterator[tuple[str, int | None]]:
        """The text in parts: what stands between tokens with None, tokens with their id."""
        parts = [part for part in self._pattern.split(text) if part]
        for i in range(len(parts)):
            if parts[i] in self.by_text:
                self._apply_flags(parts, i)
        return ((part, self.by_text.get(part)) for part in parts if part)

    def _apply_flags(self, parts: list[str], i: int) -> None:
        """Strip the neighbours of a token; join it to one where it stands for a single word."""
        text = parts[i]
        token = self.by_id[self.by_text[text]]
        left, right = i - 1 if i else None, i + 1 if i + 1 < len(parts) else None
        if token.rstrip and right:
            parts[right] = parts[right].lstrip()
        if token.lstrip and left is not None:
            parts[left] = parts[left].rstrip()
        if not token.single_word:
            return
        if left is not None and parts[left] and not parts[left].endswith(" "):
            parts[left], parts[i] = parts[left] + text, ""
        elif right and parts[right] and not parts[right].startswith(" "):
            parts[i], parts[right] = "", text + parts[right]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(filter(None, self.by_text), key=len, reverse=True)
        return re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")
