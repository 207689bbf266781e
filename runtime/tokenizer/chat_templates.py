"""The chat templates of a Hugging Face folder, which may have several by name.

As in transformers, files of their own go before tokenizer_config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halfbyte.errors import ConversionError
from halfbyte.files.json_folder import TEMPLATES, JSONFolder, check_regular

DEFAULT = "default"
_FILE, _SETTING = "chat_template.jinja", "chat_template"


def read_templates(folder: JSONFolder, settings: Mapping[str, Any]) -> dict[str, str]:
    """Name -> Jinja source; the one without a name is "default".

    Args:
        folder: where their files lie.
        settings: its tokenizer_config.json.

    Raises:
        ConversionError: a file cannot be read, or a setting is something else.
    """
    return template_files(folder.path) or _stated(folder.path, settings.get(_SETTING))


def template_files(folder: Path) -> dict[str, str]:
    """Those that have files of their own; ConversionError where one cannot be read."""
    found = {path.stem: path for path in sorted((folder / TEMPLATES).glob("*.jinja"))}
    if (folder / _FILE).exists():
        found[DEFAULT] = folder / _FILE
    return {name: _text(path) for name, path in found.items()}


def _text(path: Path) -> str:
    try:
        check_regular(path)
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConversionError(path, expected="readable UTF-8", got=str(error)) from error


def _stated(folder: Path, value: object) -> dict[str, str]:
    """What tokenizer_config.json says: a text, or texts by name, mostly as a list."""
    pairs: list[tuple[object, object]] = [(DEFAULT, value)]
    if value is None:
        pairs = []
    elif isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [(t.get("name"), t.get("template")) for t in value if isinstance(t, dict)]
        pairs += [("", None)] * (len(value) - len(pairs))
    named = {n: text for n, text in pairs if isinstance(n, str) and isinstance(text, str)}
    if len(named) < len(pairs):
        raise ConversionError(
            folder / "tokenizer_config.json", _SETTING, expected="a text, or texts by name",
            got=repr(value),
        )  # fmt: skip
    return named
