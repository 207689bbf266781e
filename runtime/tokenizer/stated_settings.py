"""What the files beside a tokenizer say of it: special tokens, BOS and EOS, chat templates."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from halfbyte.errors import ConversionError
from halfbyte.files.json_folder import JSONFolder
from halfbyte.tokenizer.chat_templates import read_templates
from halfbyte.tokenizer.json_parts import added_token

log = logging.getLogger(__name__)

_CONFIG, _MAP = "tokenizer_config.json", "special_tokens_map.json"
_ROLES = ("bos", "eos", "unk", "pad")
# A folder may hold nothing but a tokenizer.model, whose special pieces have these texts.
_USUAL = {"bos": "<s>", "eos": "</s>", "unk": "<unk>"}


class Settings:
    """The files of a folder beside its tokenizer's own.

    Attributes:
        folder: where they lie.
        config: tokenizer_config.json.

    Raises:
        ConversionError: one can't be read.
    """

    def __init__(self, folder: JSONFolder) -> None:
        self.folder = folder
        self.config = folder.read_json(_CONFIG) or {}
        older = folder.read_json(_MAP) or {}
        # As transformers: where the newer file lists all tokens, it says which have roles, too.
        self._sources = [(_CONFIG, self.config), (_MAP, older)]
        if not self.config.get("added_tokens_decoder"):
            self._sources.reverse()

    def text_of(self, role: str) -> str | None:
        """The text of a role's token, as "eos", or None."""
        key = f"{role}_token"
        for name, stated in self._sources:
            if stated.get(key) is not None:
                return added_token(self.folder.path / name, key, stated[key]).content
        return None

    def flag(self, name: str) -> bool | None:
        """A setting of tokenizer_config.json that is true, false or absent."""
        value = self.config.get(name)
        if not isinstance(value, (bool, type(None))):
            path = self.folder.path / _CONFIG
            raise ConversionError(path, name, expected="true or false", got=repr(value))
        return value

    def special_ids(
        self, ids: Mapping[str, int], n_vocab: int, dropped: Mapping[str, int]
    ) -> dict[str, int]:
        """Role -> id, for the roles that have one.

        Raises:
            ConversionError: what ends an answer has no row, and nothing else does.
        """
        found = {}
        for role in _ROLES:
            text = self.text_of(role)
            token = ids.get(text) if text is not None else None
            if token is None:
                token = self._id_by_number(ids, n_vocab, role)
            if token is not None:
                found[role] = token
            if text in dropped and role == "eos" and token is None:
                self.refuse_dropped(role)
            if text in dropped:
                instead = "none" if token is None else str(token)
                log.warning(
                    "%s: %s_token %r has no row: %s is used", self.folder.path, role, text, instead
                )
        return found

    def refuse_dropped(self, role: str) -> None:
        """Refuse a model that lacks the row of a token that it can't do without."""
        raise ConversionError(
            self.folder.path, f"{role}_token", expected="a token that has a row",
            got=self.text_of(role), hint="resize the model's embedding to its tokenizer",
        )  # fmt: skip

    def _id_by_number(self, ids: Mapping[str, int], n_vocab: int, role: str) -> int | None:
        for name in ("config.json", "generation_config.json"):
            value = (self.folder.read_json(name) or {}).get(f"{role}_token_id")
            for token in value if isinstance(value, list) else [value]:
                if type(token) is int and 0 <= token < n_vocab:
                    return token
        return ids.get(_USUAL.get(role, ""))

    def other_ends(self, n_vocab: int, known: set[int]) -> list[int]:
        """Tokens that end an answer beside those `known` to: two files may list some."""
        found: list[int] = []
        for name in ("generation_config.json", "config.json"):
            value = (self.folder.read_json(name) or {}).get("eos_token_id")
            for i in value if isinstance(value, list) else [value]:
                if type(i) is int and 0 <= i < n_vocab and i not in known and i not in found:
                    found.append(i)
                elif i is not None and (type(i) is not int or not 0 <= i < n_vocab):
                    log.warning(
                        "%s: %s: eos_token_id %r is no token of the %d there are: not used",
                        self.folder.path, name, i, n_vocab,
                    )  # fmt: skip
        return found

    def chat_templates(self, dropped: Mapping[str, int]) -> dict[str, str]:
        """Name -> Jinja source; dropped tokens that these write are named in a warning."""
        found = read_templates(self.folder, self.config)
        lost = [text for text in dropped if any(text in source for source in found.values())]
        if lost:
            log.warning(
                "%s: a chat template writes %s, which no row stands for: they become plain text",
                self.folder.path, ", ".join(map(repr, lost[:8])),
            )  # fmt: skip
        return found
