"""What a tokenizer is told beside its vocabulary: constructor arguments, and a folder's files.

A folder states them in tokenizer_config.json, special_tokens_map.json and added_tokens.json, and
has a tokenizer.json that lists added tokens. Arguments of a call win over the files.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from halfbyte.errors import ModelFileError
from halfbyte.hf.batch import Side
from halfbyte.hf.errors import ArgumentError
from halfbyte.hf.tokenizer_added import AddedToken
from halfbyte.hf.tokenizer_options import NO_LENGTH, check_side

CONFIG, SPECIAL_MAP = "tokenizer_config.json", "special_tokens_map.json"
ADDED, TOKENIZER_JSON = "added_tokens.json", "tokenizer.json"

# Arguments that transformers takes and that have no effect on these tokenizers, there or here.
_WITHOUT_EFFECT = ("from_slow", "keep_accents", "processor_class", "tokenizer_file", "use_fast")
# Arguments of from_pretrained alone; then those that are not to be had here, left off.
LOADING = ("local_files_only", "trust_remote_code", *_WITHOUT_EFFECT)
NOT_LOADING: dict[str, object] = {
    **dict.fromkeys(("cache_dir", "proxies", "resume_download", "token", "use_auth_token")),
    "force_download": False,
    "revision": "main",
    "subfolder": "",
}


@dataclass(slots=True)
class Settings:
    """Constructor arguments that all tokenizers have; names and defaults are transformers'.

    Attributes:
        name_or_path: what it was loaded from.
        model_max_length: tokens that the model can take; None: not known.
        padding_side, truncation_side: "right" or "left".
        clean_up_tokenization_spaces: take spaces before punctuation out of decoded text.
        split_special_tokens: special tokens' texts are text.
        chat_template: Jinja source, several of them by name, or None.
        model_input_names: what an encoding holds unless asked otherwise.
        added_tokens_decoder: tokens that text is searched for, by id.
        additional_special_tokens: special tokens without a role.
        verbose: has no effect; logging decides.
    """

    name_or_path: str = ""
    model_max_length: int | None = None
    padding_side: Side = "right"
    truncation_side: Side = "right"
    clean_up_tokenization_spaces: bool = False
    split_special_tokens: bool = False
    chat_template: Any = None
    model_input_names: Any = ("input_ids", "attention_mask")
    added_tokens_decoder: Any = None
    additional_special_tokens: Any = None
    bos_token: Any = None
    eos_token: Any = None
    unk_token: Any = None
    sep_token: Any = None
    pad_token: Any = None
    cls_token: Any = None
    mask_token: Any = None
    verbose: bool = True

    def __post_init__(self) -> None:
        """Refuse values that cannot work."""
        self.padding_side = check_side("padding_side", self.padding_side)
        self.truncation_side = check_side("truncation_side", self.truncation_side)
        if self.model_max_length is None:
            self.model_max_length = NO_LENGTH
        if not isinstance(self.model_max_length, (int, float)) or self.model_max_length < 1:
            raise ArgumentError(
                "model_max_length", expected="a whole number from 1", got=self.model_max_length
            )
        self.chat_template = _templates(self.chat_template)
        _need_list("model_input_names", self.model_input_names, "names")
        _need_list("additional_special_tokens", self.additional_special_tokens or (), "tokens")
        added = self.added_tokens_decoder
        if added is not None and not (
            isinstance(added, Mapping) and all(str(key).isdecimal() for key in added)
        ):
            raise ArgumentError("added_tokens_decoder", expected="tokens by id", got=repr(added))

    @classmethod
    def read(cls, arguments: Mapping[str, Any]) -> Settings:
        """The settings among a constructor's arguments.

        Raises:
            RequestError: names an argument that there is not.
        """
        given = {k: v for k, v in arguments.items() if k not in _WITHOUT_EFFECT}
        if "max_len" in given:  # the name of old
            given.setdefault("model_max_length", given.pop("max_len"))
        known = names()
        for name in given:
            if name not in known:
                raise ArgumentError(
                    name, expected="an argument that this tokenizer has", got=name,
                    hint=f"beside its own these are {', '.join(sorted(known))}",
                )  # fmt: skip
        return cls(**given)


def _templates(value: Any) -> Any:
    """A chat template, or several by name, which files may spell as a list."""
    if value is None or isinstance(value, str):
        return value
    named = value
    if isinstance(value, (list, tuple)) and all(isinstance(t, Mapping) for t in value):
        named = {str(t.get("name")): t.get("template") for t in value}
    if isinstance(named, Mapping) and all(isinstance(text, str) for text in named.values()):
        return named
    raise ArgumentError("chat_template", expected="a text, or texts by name", got=repr(value))


def _need_list(name: str, value: Any, what: str) -> None:
    if not isinstance(value, (list, tuple)):
        raise ArgumentError(name, expected=f"a list of {what}", got=repr(value))


def names() -> set[str]:
    """Names of the arguments that all tokenizers have."""
    return {field.name for field in fields(Settings)}


def own_names(constructor: Any) -> set[str]:
    """Names that a constructor spells out."""
    parameters = inspect.signature(constructor).parameters.values()
    return {p.name for p in parameters if p.kind is not p.VAR_KEYWORD} - {
        "self",
        "vocab_file",
        "tokenizer_file",
    }


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is no such file.

    Raises:
        ModelFileError: the file cannot be read as that.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(path, expected="readable JSON", got=str(error)) from error
    if not isinstance(value, dict):
        raise ModelFileError(path, expected="a JSON object", got=type(value).__name__)
    return value


def read_folder(folder: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments that a folder's files state, under those of a call.

    Files may hold keys that mean nothing here; the caller picks what its constructor takes.
    """
    arguments = {**_plain(read_json(folder / CONFIG)), **overrides}
    template = folder / "chat_template.jinja"
    if template.is_file() and "chat_template" not in overrides:
        try:
            arguments["chat_template"] = template.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ModelFileError(template, expected="readable UTF-8", got=str(error)) from error
    if not arguments.get("added_tokens_decoder"):
        _read_special_map(folder, arguments, overrides)
        arguments["added_tokens_decoder"] = _read_added(folder, arguments)
    return arguments


def _read_special_map(
    folder: Path, arguments: dict[str, Any], overrides: Mapping[str, Any]
) -> None:
    for name, value in _plain(read_json(folder / SPECIAL_MAP)).items():
        if overrides.get(name):
            continue
        if name == "additional_special_tokens" and isinstance(value, list):
            value = [*(arguments.get(name) or []), *value]
        arguments[name] = value


def _read_added(folder: Path, arguments: Mapping[str, Any]) -> dict[int, AddedToken]:
    special = {
        str(token)
        for name, value in arguments.items()
        if name.endswith(("_token", "_special_tokens"))
        for token in (value if isinstance(value, list) else [value])
    }
    added = {
        i: AddedToken.read(text, special=text in special, name=ADDED)
        for text, i in read_json(folder / ADDED).items()
        if type(i) is int
    }
    for entry in read_json(folder / TOKENIZER_JSON).get("added_tokens") or ():
        if isinstance(entry, dict) and type(entry.get("id")) is int:
            added[entry["id"]] = AddedToken.read(entry, special=False, name=TOKENIZER_JSON)
    return added


def _plain(value: Any) -> Any:
    """JSON in which objects that stand for tokens are tokens."""
    if isinstance(value, dict):
        if isinstance(value.get("content"), str):
            return AddedToken.read(value, special=value.get("special", True) is not False)
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value
