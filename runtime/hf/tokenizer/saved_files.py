"""A tokenizer's files: where they lie, what they state, and writing them.

A folder states a constructor's arguments in tokenizer_config.json, special_tokens_map.json and
added_tokens.json, and may have a tokenizer.json that lists added tokens.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halfbyte.errors import ModelFileError, RequestError
from halfbyte.file_kinds import is_gguf
from halfbyte.hf.arguments import NOT_LOADING, leave_out, located
from halfbyte.hf.tokenizer.added_tokens import AddedToken
from halfbyte.hf.tokenizer.token_table import TokenTable
from halfbyte.hf.tokenizer.vocabularies import read_gguf
from halfbyte.json_folder import JSONFolder
from halfbyte.tokenizer import Vocabulary

CONFIG, SPECIAL_MAP, ADDED = (
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
)  # fmt: skip
MODEL_FILE, TOKENIZER_JSON = "tokenizer.model", "tokenizer.json"

# Arguments that transformers takes and that have no effect on these tokenizers, there or here.
WITHOUT_EFFECT = (
    "from_slow", "keep_accents", "processor_class", "tokenizer_file", "use_fast", "verbose"
)  # fmt: skip
_LOADING = ("trust_remote_code", *WITHOUT_EFFECT)


def locate(
    name_or_path: str | os.PathLike[str], arguments: Mapping[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """Where a model's tokenizer lies, and the arguments that are not about finding it.

    Raises:
        RequestError: neither a path nor a name.
        ModelFileError: nothing lies there.
        DownloadError: it could not be pulled.
    """
    given = dict(arguments)
    place = located(name_or_path, given)
    return place, leave_out(given, NOT_LOADING, _LOADING)


def read_folder(path: Path, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments that a folder's files state, under those of a call.

    Files may hold keys that mean nothing here; the caller picks what its constructor takes.
    Raises ModelFileError where one cannot be read.
    """
    folder = JSONFolder(path)
    arguments = {**_plain(folder.read_json(CONFIG) or {}), **overrides}
    template = path / "chat_template.jinja"
    if template.is_file() and "chat_template" not in overrides:
        try:
            arguments["chat_template"] = template.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise ModelFileError(template, expected="readable UTF-8", got=str(error)) from error
    if arguments.get("added_tokens_decoder"):
        return arguments
    for name, value in _plain(folder.read_json(SPECIAL_MAP) or {}).items():
        if not overrides.get(name):
            is_list = name == "additional_special_tokens" and isinstance(value, list)
            arguments[name] = [*(arguments.get(name) or []), *value] if is_list else value
    arguments["added_tokens_decoder"] = _read_added(folder, arguments)
    return arguments


def _read_added(folder: JSONFolder, arguments: Mapping[str, Any]) -> dict[int, AddedToken]:
    special = {
        str(token)
        for name, value in arguments.items()
        if name.endswith(("_token", "_special_tokens"))
        for token in (value if isinstance(value, list) else [value])
    }
    added = {
        i: AddedToken.read(text, special=text in special, name=ADDED)
        for text, i in (folder.read_json(ADDED) or {}).items()
        if type(i) is int
    }
    for entry in (folder.read_json(TOKENIZER_JSON) or {}).get("added_tokens") or ():
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


def read(
    path: Path, names: Sequence[str], given: Mapping[str, Any]
) -> tuple[Vocabulary | Path, dict[str, Any]]:
    """A .gguf file's vocabulary or a folder's first file of these names, and what is stated there.

    Arguments of a call win.
    """
    if is_gguf(path):
        vocabulary, stated = read_gguf(path)
        return vocabulary, {**stated, **given}
    if not path.is_dir():
        return path, read_folder(path.parent, given)
    found = (path / name for name in names if (path / name).is_file())
    return next(found, path / names[0]), read_folder(path, given)  # whose absence is an error


def save(
    tokens: TokenTable, arguments: Mapping[str, Any], folder: Path, prefix: str | None
) -> tuple[str, str, str]:
    """Write what `read_folder` reads; the paths, of added_tokens.json also where none is needed."""
    if folder.is_file():
        raise RequestError("save_directory", expected="a folder", got=f"the file {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    config, special, added = (folder / prefixed(prefix, n) for n in (CONFIG, SPECIAL_MAP, ADDED))
    roles = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"))
    roles |= tokens.special_tokens_map
    decoder = {str(i): asdict(token) for i, token in tokens.added_tokens_decoder.items()}
    _write(config, {**roles, **arguments, "added_tokens_decoder": decoder})
    flags = {t["content"]: {k: v for k, v in t.items() if k != "special"} for t in decoder.values()}
    _write(special, {
        name: [flags.get(t, t) for t in v] if isinstance(v, list) else flags.get(v, v)
        for name, v in tokens.special_tokens_map.items()
    })  # fmt: skip
    n_pieces = tokens.vocab_size
    beyond = {text: i for text, i in tokens.get_added_vocab().items() if i >= n_pieces}
    if beyond:
        _write(added, beyond)
    return str(config), str(special), str(added)


def prefixed(prefix: str | None, name: str) -> str:
    """A file's name, after a prefix if there is one."""
    return f"{prefix}-{name}" if prefix else name


def _write(path: Path, value: Mapping[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(f"{text}\n", "utf-8")
