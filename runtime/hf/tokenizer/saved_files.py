"""A tokenizer's files: where they lie, what they state, and writing them.

A folder states a constructor's arguments in tokenizer_config.json, special_tokens_map.json and
added_tokens.json, and may have a tokenizer.json that lists added tokens.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from halfbyte.errors import ModelFileError, RequestError
from halfbyte.files.file_kinds import is_gguf
from halfbyte.files.json_folder import JSONFolder
from halfbyte.hf.arguments import NOT_LOADING, leave_out, located
from halfbyte.hf.tokenizer.added_tokens import AddedToken
from halfbyte.hf.tokenizer.token_table import TokenTable, token_list
from halfbyte.hf.tokenizer.vocabularies import read_gguf
from halfbyte.tokenizer import Vocabulary
from halfbyte.tokenizer.chat_templates import DEFAULT, template_files
from halfbyte.tokenizer.json_parts import added_tokens, put_added
from halfbyte.tokenizer.sentencepiece_file import parse

log = logging.getLogger(__name__)

CONFIG, SPECIAL_MAP, ADDED = (
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
)  # fmt: skip
_LIST = "additional_special_tokens"
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
    arguments = {**_with_tokens(folder.read_json(CONFIG) or {}), **overrides}
    if templates := {} if "chat_template" in overrides else template_files(path):
        is_alone = templates.keys() == {DEFAULT}
        arguments["chat_template"] = templates[DEFAULT] if is_alone else templates
    if arguments.get("added_tokens_decoder"):
        return arguments
    for name, value in _with_tokens(folder.read_json(SPECIAL_MAP) or {}).items():
        if not overrides.get(name):
            is_list = name == _LIST and isinstance(value, list)
            arguments[name] = [*token_list(arguments.get(name) or ()), *value] if is_list else value
    arguments["added_tokens_decoder"] = _read_added(folder, arguments)
    return arguments


def _read_added(folder: JSONFolder, arguments: Mapping[str, Any]) -> dict[int, AddedToken]:
    special = {
        str(token)
        for name, value in arguments.items()
        if name.endswith(("_token", "_special_tokens"))
        for token in (value if isinstance(value, list) else [value])
    }
    added: dict[int, AddedToken] = {}
    for text, i in (folder.read_json(ADDED) or {}).items():
        put_added(folder.path / ADDED, repr(text), {}, i, text)
        added[i] = AddedToken.read(text, special=text in special, name=ADDED)
    listed = (folder.read_json(TOKENIZER_JSON) or {}).get("added_tokens")
    own = added_tokens(folder.path / TOKENIZER_JSON, "added_tokens", listed)
    for i, token in own.items():
        flags = dict.fromkeys(token.flags, True)
        added[i] = AddedToken(token.content, special=token.is_special, **flags)
    return added


def _with_tokens(stated: Mapping[str, Any]) -> dict[str, Any]:
    """A file's object in which objects that stand for tokens, or lists of these, are tokens."""
    return {
        name: [_token(name, item) for item in value]
        if isinstance(value, list)
        else _token(name, value)
        for name, value in stated.items()
    }


def _token(name: str, value: Any) -> Any:
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        return AddedToken.read(value, special=value.get("special", True) is not False, name=name)
    return value


@contextmanager
def naming_the_file(path: Path, given: Mapping[str, Any]) -> Iterator[None]:
    """Has errors about arguments that files state, and no call, name the file and the key."""
    try:
        yield
    except RequestError as error:
        if error.param in given or not path.is_dir():
            raise
        config = JSONFolder(path).read_json(CONFIG) or {}
        names = (CONFIG, SPECIAL_MAP) if config.get("added_tokens_decoder") else (SPECIAL_MAP,)
        stated = (name for name in names if error.param in (JSONFolder(path).read_json(name) or {}))
        raise ModelFileError(
            path / next(stated, CONFIG), error.param, expected=error.expected, got=error.got,
            hint=error.hint,
        ) from error  # fmt: skip


def vocabulary_file(folder: Path, names: Sequence[str]) -> Path:
    """The first of a folder's files of these names, or the path of the first name.

    A tokenizer.model that is empty or broken is passed over, with a word, if another is there.
    """
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1 and found[0].name == MODEL_FILE:
        try:
            parse(found[0])
        except ModelFileError as error:
            log.warning("%s: not used, %s is: %s", found[0], found[1].name, error)
            return found[1]
    return found[0] if found else folder / names[0]  # whose absence is an error


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
    return vocabulary_file(path, names), read_folder(path, given)


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
