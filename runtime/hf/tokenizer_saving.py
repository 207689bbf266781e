"""A tokenizer's files: what `from_pretrained` reads, here and in transformers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halfbyte.errors import RequestError
from halfbyte.hf.tokenizer_added import AddedToken
from halfbyte.hf.tokenizer_chat import ChatEncoding
from halfbyte.hf.tokenizer_settings import ADDED, CONFIG, SPECIAL_MAP


class SavedTokenizer(ChatEncoding):
    """`save_pretrained`; which files hold the vocabulary is up to the kind of it."""

    clean_up_tokenization_spaces: bool
    # The name that the files give to the class, for transformers.
    _class_name: str

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...] | None:
        """Write the vocabulary's own files into an existing folder and return their paths."""
        raise NotImplementedError

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Write all files of the tokenizer into a folder, which is made if need be.

        Returns:
            The paths of tokenizer_config.json, special_tokens_map.json, the vocabulary's files
            and added_tokens.json, which is only written where tokens were added.

        Raises:
            RequestError: the path is a file.
        """
        folder = Path(save_directory)
        if folder.is_file():
            raise RequestError("save_directory", expected="a folder", got=f"the file {folder}")
        folder.mkdir(parents=True, exist_ok=True)
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        config, special, added = (folder / f"{prefix}{n}" for n in (CONFIG, SPECIAL_MAP, ADDED))
        _write(config, self._config())
        _write(special, {name: _saved(v) for name, v in self.special_tokens_map_extended.items()})
        beyond = {t: i for t, i in self.added_tokens_encoder.items() if i >= self.vocab_size}
        if beyond:
            _write(added, beyond)
        vocabulary = self.save_vocabulary(folder, filename_prefix) or ()
        return (str(config), str(special), *vocabulary, str(added))

    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "tokenizer_class": self._class_name,
            "add_bos_token": self.add_bos_token,
            "add_eos_token": self.add_eos_token,
            "clean_up_tokenization_spaces": self.clean_up_tokenization_spaces,
            "model_max_length": self.model_max_length,
            "model_input_names": self.model_input_names,
            "padding_side": self.padding_side,
            "truncation_side": self.truncation_side,
            "split_special_tokens": self.split_special_tokens,
            "added_tokens_decoder": {
                str(i): token.as_dict() for i, token in self.added_tokens_decoder.items()
            },
            **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token")),
            **self.special_tokens_map,
        }
        if isinstance(self.chat_template, Mapping):
            named = [{"name": k, "template": v} for k, v in self.chat_template.items()]
            config["chat_template"] = named
        elif self.chat_template is not None:
            config["chat_template"] = self.chat_template
        return config


def _saved(value: Any) -> Any:
    if isinstance(value, list):
        return [_saved(item) for item in value]
    if isinstance(value, AddedToken):
        return {name: v for name, v in value.as_dict().items() if name != "special"}
    return value


def _write(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(f"{text}\n", "utf-8")
